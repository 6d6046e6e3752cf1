//! `engraft serve`: a node.

use ::core::time::Duration;
use alloc::sync::Arc;
use std::io::{Read, Write};
use std::path::PathBuf;

use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::driver::boot::{boot_id, fresh_incarnation};
use crate::driver::config::NodeConfig;
use crate::driver::http;
use crate::driver::node::{self, NodeHandle, StartError};
use crate::driver::tokio_host::TokioHost;
use crate::wal::{StorageOpenError, WalError};

use super::config::OverrideArguments;
use super::exit::{Exit, Failure};
use super::log::LogArguments;
use super::signal::StopSignals;
use super::supervisor;

/// How to run a node.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// The TOML file.
    #[arg(long, env = "ENGRAFT_CONFIG", value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    overrides: OverrideArguments,
    #[command(flatten)]
    log: LogArguments,
    /// Stop when stdin ends: a node that another process started does not outlive it.
    #[arg(long)]
    stop_with_stdin: bool,
}

/// Runs it until a signal, or until the node halts.
pub(super) fn run(arguments: &ServeArguments) -> Result<(), Failure> {
    let config = NodeConfig::load(&arguments.config, &arguments.overrides.overrides())?;
    arguments.log.start()?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(serve(Arc::new(config), arguments.stop_with_stdin));
    // What is left are tasks of connections that did not end in time; they are not waited for.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

async fn serve(config: Arc<NodeConfig>, stop_with_stdin: bool) -> Result<(), Failure> {
    let mut signals = StopSignals::listen()?;
    // Before the logs are opened: a node whose clients cannot reach it has no business in recovering them.
    let clients = match &config.http {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let http_address = clients.as_ref().and_then(|listener| listener.local_addr().ok());
    let options = config.node_options(fresh_incarnation(), boot_id());
    let node = node::start(TokioHost::new(), options).await.map_err(|error| refused(&error))?;
    let (stop_clients, stopped) = oneshot::channel::<()>();
    let clients = clients.map(|listener| {
        let stop = async move {
            let _ = stopped.await;
        };
        tokio::spawn(http::serve(listener, node.clone(), Arc::clone(&config), stop))
    });
    ready(&config, &node, http_address.map(|address| address.to_string()))?;
    supervisor::tell(supervisor::Word::Ready);
    let halted = tokio::select! {
        biased;
        () = signals.wait() => false,
        () = stdin_ended(stop_with_stdin) => false,
        () = node.halted() => true,
    };
    drain(&config, &node, clients, stop_clients).await;
    if let Some(error) = node.failure() {
        return Err(Failure::failed(format!("the node halted by itself: {error}")));
    }
    if halted {
        return Err(Failure::failed("the node was shut down from within"));
    }
    tracing::info!("stopped");
    Ok(())
}

async fn listen(address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .await
        .map_err(|error| Failure::failed(format!("cannot listen for clients on {address} (`http`): {error}")))
}

/// Tells whoever started the process that it serves, and where.
fn ready(config: &NodeConfig, node: &NodeHandle, http: Option<String>) -> Result<(), Failure> {
    let line = serde_json::json!({
        "ready": true,
        "node": config.node,
        "listen": node.listen_address().to_string(),
        "http": http,
    });
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::failed(format!("cannot write to stdout: {error}")))?;
    tracing::info!(node = %config.node, listen = %node.listen_address(), ?http, "ready");
    Ok(())
}

/// First the clients' requests that were taken, for a while; then the node, which answers what still waits.
async fn drain(
    config: &NodeConfig,
    node: &NodeHandle,
    clients: Option<JoinHandle<()>>,
    stop_clients: oneshot::Sender<()>,
) {
    tracing::info!("stopping");
    supervisor::tell(supervisor::Word::Stopping);
    let _ = stop_clients.send(());
    let Some(mut clients) = clients else {
        node.shutdown().await;
        return;
    };
    let in_time = tokio::time::timeout(config.clients.drain_timeout, &mut clients).await.is_ok();
    node.shutdown().await;
    if !in_time {
        // The node has answered them by now; the answers get a moment to leave.
        let _ = tokio::time::timeout(Duration::from_secs(1), &mut clients).await;
        clients.abort();
    }
}

/// The exit code by whose fault it is.
fn refused(error: &StartError) -> Failure {
    let exit = match error {
        StartError::Config(_) | StartError::Peers { .. } | StartError::Storage { .. } => Exit::Configuration,
        StartError::Listen { .. } | StartError::Host { .. } => Exit::Failed,
        StartError::Open(error) => match error {
            StorageOpenError::OtherCluster { .. }
            | StorageOpenError::OtherNode { .. }
            | StorageOpenError::Option { .. } => Exit::Configuration,
            StorageOpenError::Superblock { .. }
            | StorageOpenError::MemoryLost { .. }
            | StorageOpenError::Wal(WalError::Corrupt { .. }) => Exit::Corruption,
            StorageOpenError::Locked { .. }
            | StorageOpenError::Version { .. }
            | StorageOpenError::Wal(
                WalError::Io { .. }
                | WalError::Engram { .. }
                | WalError::NotContiguous { .. }
                | WalError::TooLarge { .. }
                | WalError::Stopped { .. }
                | WalError::NoSuchCut { .. },
            ) => Exit::Failed,
        },
    };
    Failure::new(exit, format!("cannot start: {error}"))
}

/// Resolves when stdin ends, where that was asked for. A thread of its own reads: it may block until the process ends.
async fn stdin_ended(asked: bool) {
    if !asked {
        ::core::future::pending::<()>().await;
    }
    let (ended, end) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let mut buffer = [0_u8; 256];
        let mut stdin = std::io::stdin().lock();
        while matches!(stdin.read(&mut buffer), Ok(1..)) {}
        let _ = ended.send(());
    });
    let _ = end.await;
}
