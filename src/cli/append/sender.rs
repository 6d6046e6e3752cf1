//! Sends windows of lines to whoever is the primary.

use ::core::time::Duration;
use alloc::collections::BTreeSet;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use crate::driver::http::{AnswerLine, Failed};

use super::super::client::{Answer, NoAnswer};
use super::super::exit::{Exit, Failure};
use super::super::nodes::Nodes;
use super::super::output::print;
use super::AppendArguments;
use super::tally::Tally;

/// The wait before a node is asked again that said "not now".
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Sends windows, one after the other.
#[derive(Debug)]
pub(super) struct Sender<'a> {
    arguments: &'a AppendArguments,
    nodes: Nodes,
    /// Whom to ask: the last one that took something.
    address: String,
    tally: Tally,
}

/// What to do about lines that were not appended.
enum Refusal {
    /// Somebody else is the primary.
    Elsewhere { hint: Option<String>, message: String },
    /// The node may take them a little later.
    Later { message: String },
    /// It will not take them.
    Final { exit: Exit, message: String },
}

/// One error for all lines of a request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole<'a> {
    #[serde(borrow)]
    error: Failed<'a>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(arguments: &'a AppendArguments) -> Result<Self, Failure> {
        let nodes = arguments.nodes.nodes()?;
        let address = nodes.asked.first().cloned().unwrap_or_default();
        Ok(Self { arguments, nodes, address, tally: Tally::new(arguments.json) })
    }

    /// Appends these lines in their order, and returns once each is answered.
    ///
    /// Only what certainly was not appended is sent again.
    pub(super) async fn send(&mut self, payloads: &[Vec<u8>]) -> Result<(), Failure> {
        let deadline = Instant::now() + self.arguments.timeout;
        let mut rest = payloads;
        // Those that pointed elsewhere, or were not reached, since one took something.
        let mut tried = BTreeSet::new();
        while !rest.is_empty() {
            let client = self.nodes.client(&self.address)?;
            let space = self.arguments.space.as_str();
            let (ack, timeout) = (self.arguments.ack, self.arguments.timeout);
            let answer = match client.append_lines(space, lines(rest), ack, timeout).await {
                Ok(answer) => answer,
                Err(NoAnswer::NotSent(failure)) => {
                    let failure = Failure::new(failure.exit, self.unsent(&failure.message));
                    self.next_node(&mut tried, deadline, failure).await?;
                    continue;
                }
                Err(NoAnswer::Unknown(failure)) => {
                    let from = self.tally.next_line();
                    self.tally.lose(rest.len())?;
                    let message = format!(
                        "{failure}; the lines from {from} on may be in the log or not: read the space before they are \
                         sent again"
                    );
                    return Err(Failure::failed(message));
                }
            };
            let refusal;
            (rest, refusal) = self.take(rest, &answer)?;
            match refusal {
                None => return self.judge(),
                Some(Refusal::Final { exit, message }) => return Err(Failure::new(exit, message)),
                Some(Refusal::Later { message }) => {
                    if Instant::now() >= deadline {
                        return Err(Failure::failed(self.unsent(&message)));
                    }
                    tokio::time::sleep(RETRY_AFTER).await;
                    tried.clear();
                }
                Some(Refusal::Elsewhere { hint, message }) => {
                    let failure = Failure::new(Exit::NotPrimary, self.unsent(&message));
                    self.follow(&mut tried, hint, deadline, failure).await?;
                }
            }
        }
        Ok(())
    }

    /// Prints the summary.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        self.tally.summary(self.arguments.space.as_str()).map_or(Ok(()), |summary| print(&summary))
    }

    /// Takes an answer in; what remains to be sent, and why it was not taken.
    fn take<'p>(&mut self, sent: &'p [Vec<u8>], answer: &Answer) -> Result<(&'p [Vec<u8>], Option<Refusal>), Failure> {
        if let Ok(Whole { error }) = serde_json::from_slice(&answer.body) {
            let refusal = self.refusal(&error);
            if let Refusal::Final { .. } = refusal {
                self.tally.take(&vec![AnswerLine::Failed { error }; sent.len()])?;
            }
            return Ok((sent, Some(refusal)));
        }
        let answers = answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let answers = answers.map(serde_json::from_slice::<AnswerLine<'_>>).collect::<Result<Vec<_>, _>>();
        let answers = answers.ok().filter(|answers| answers.len() == sent.len());
        let Some(answers) = answers else {
            let (address, status, lines) = (&self.address, answer.status, sent.len());
            self.tally.lose(lines)?;
            return Err(Failure::failed(format!(
                "{address} answered {lines} lines with status {status} and a body that is no answer to them"
            )));
        };
        let refused = |answer: &AnswerLine<'_>| matches!(answer, AnswerLine::Failed { .. });
        let done = answers.iter().position(refused).unwrap_or(answers.len());
        let (taken, after) = answers.split_at(done);
        // Where a later one was appended, sending this one again would change the order.
        if let Some(AnswerLine::Failed { error }) = after.first()
            && after.iter().all(refused)
        {
            let refusal = self.refusal(error);
            if let Refusal::Final { .. } = refusal {
                self.tally.take(&answers)?;
            } else {
                self.tally.take(taken)?;
            }
            return Ok((sent.get(done..).unwrap_or_default(), Some(refusal)));
        }
        self.tally.take(&answers)?;
        Ok((&[], None))
    }

    /// What is to be done about an error, by whose fault it is.
    fn refusal(&self, error: &Failed<'_>) -> Refusal {
        let message = format!("{} says: {}", self.address, error.message);
        match error.kind.as_ref() {
            "not_primary" => {
                let known = error.primary.and_then(|node| self.nodes.known(node));
                Refusal::Elsewhere { hint: error.http.as_deref().or(known).map(str::to_owned), message }
            }
            "no_primary" | "shutdown" => Refusal::Elsewhere { hint: None, message },
            "not_ready" | "overloaded" | "isolated" | "exposure_reached" => Refusal::Later { message },
            "unknown_space" => Refusal::Final { exit: Exit::Usage, message },
            _ => Refusal::Final { exit: Exit::Failed, message },
        }
    }

    /// Goes on where the hint points, or to the next node that has not said the same. Where all have, an election may be
    /// under way: they are asked again after a while.
    async fn follow(
        &mut self,
        tried: &mut BTreeSet<String>,
        hint: Option<String>,
        deadline: Instant,
        failure: Failure,
    ) -> Result<(), Failure> {
        match hint.filter(|hint| !tried.contains(hint)) {
            Some(hint) => {
                tried.insert(::core::mem::replace(&mut self.address, hint));
                Ok(())
            }
            None => self.next_node(tried, deadline, failure).await,
        }
    }

    /// Goes on at the next node, after a while where all were tried.
    async fn next_node(
        &mut self,
        tried: &mut BTreeSet<String>,
        deadline: Instant,
        failure: Failure,
    ) -> Result<(), Failure> {
        tried.insert(self.address.clone());
        let untried = self.nodes.asked.iter().find(|asked| !tried.contains(*asked)).cloned();
        if let Some(address) = untried {
            self.address = address;
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(failure);
        }
        tokio::time::sleep(RETRY_AFTER).await;
        tried.clear();
        self.address = self.nodes.after(&self.address);
        Ok(())
    }

    /// A window whose lines were all answered is good only where all were appended.
    fn judge(&self) -> Result<(), Failure> {
        let Tally { unknown, failed, .. } = self.tally;
        if unknown + failed == 0 {
            return Ok(());
        }
        let message = format!("{unknown} unknown, {failed} failed");
        let advice = "an unknown entry is in the log and did not reach its level in time";
        Err(Failure::failed(self.unsent(&format!("{message}; {advice}"))))
    }

    fn unsent(&self, message: &str) -> String {
        format!("{message}; line {} and those after it were not appended", self.tally.next_line())
    }
}

/// The lines of a request.
fn lines(payloads: &[Vec<u8>]) -> Bytes {
    let bytes: usize = payloads.iter().map(|payload| payload.len().div_ceil(3) * 4 + 16).sum();
    let mut lines = String::with_capacity(bytes);
    for payload in payloads {
        lines.push_str("{\"payload\":\"");
        STANDARD.encode_string(payload, &mut lines);
        lines.push_str("\"}\n");
    }
    Bytes::from(lines)
}
