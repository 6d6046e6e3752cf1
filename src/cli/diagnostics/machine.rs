//! Facts of the machine that bear on a log's speed and safety.

use std::fs;

use serde_json::{Map, Value, json};

/// The facts; what the system does not tell is left out.
pub(super) fn facts() -> Value {
    let mut facts = Map::new();
    let mut fact = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            facts.insert(name.to_owned(), value);
        }
    };
    fact("os", Some(json!(std::env::consts::OS)));
    fact("arch", Some(json!(std::env::consts::ARCH)));
    fact("processors", std::thread::available_parallelism().ok().map(|count| json!(count)));
    fact("kernel", line("/proc/sys/kernel/osrelease").map(Value::from));
    fact("memory", value_of("/proc/meminfo", "MemTotal:").map(Value::from));
    fact("memory_available", value_of("/proc/meminfo", "MemAvailable:").map(Value::from));
    fact("processor", value_of("/proc/cpuinfo", "model name\t:").map(Value::from));
    fact("load", line("/proc/loadavg").map(Value::from));
    fact("open_files_max", value_of("/proc/self/limits", "Max open files").map(Value::from));
    Value::Object(facts)
}

fn line(file: &str) -> Option<String> {
    Some(fs::read_to_string(file).ok()?.trim().to_owned())
}

/// What stands behind a word at a line's start.
fn value_of(file: &str, word: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(word))?;
    Some(value.split_whitespace().collect::<Vec<_>>().join(" "))
}
