//! A configuration as it was written: keys, values, and where each comes from.

use alloc::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigFileError, Origin, ValueError};
use super::field::FIELDS;

/// The tables of numbers.
pub(super) const TABLES: [&str; 4] = ["replication", "pool", "wal", "clients"];
/// The keys at the top.
pub(super) const TOP_KEYS: [&str; 6] = ["node", "cluster", "listen", "http", "data_dir", "replica_count"];
/// Those of them that are text, digits or not.
const TEXT_KEYS: [&str; 4] = ["cluster", "listen", "http", "data_dir"];

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Integer(i64),
    Text(String),
    List(Vec<Value>),
    /// Something that no key takes; in words.
    Other(String),
}

impl Value {
    /// The value in words, for an error.
    pub(super) fn found(&self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Text(text) => format!("{text:?}"),
            Self::List(values) => {
                format!("[{}]", values.iter().map(Self::found).collect::<Vec<_>>().join(", "))
            }
            Self::Other(words) => words.clone(),
        }
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// The keys of one table.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// The key of the table, for errors: `peers[1]`.
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) settings: BTreeMap<String, Setting>,
}

/// What a file, the environment and the flags say together.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: PathBuf,
    /// Keys at the top and in the tables of numbers, with their table.
    pub(super) settings: BTreeMap<String, Setting>,
    pub(super) peers: Vec<Row>,
    pub(super) spaces: Vec<Row>,
}

impl Source {
    /// Reads the text of a file.
    pub(super) fn parse(file: &Path, text: &str) -> Result<Self, ConfigFileError> {
        let root = DeTable::parse(text).map_err(|error| ConfigFileError::Syntax {
            file: file.to_owned(),
            line: error.span().map_or(1, |span| line_of(text, span.start)),
            message: error.message().to_owned(),
        })?;
        let mut source =
            Self { file: file.to_owned(), settings: BTreeMap::new(), peers: Vec::new(), spaces: Vec::new() };
        for (key, value) in root.get_ref() {
            let name: &str = key.get_ref();
            let origin = Origin::Line(line_of(text, key.span().start));
            match (name, value.get_ref()) {
                ("peers", value) => source.peers = source.rows("peers", value, origin, text)?,
                ("spaces", value) => source.spaces = source.rows("spaces", value, origin, text)?,
                (table, DeValue::Table(keys)) if TABLES.contains(&table) => {
                    for (name, setting) in settings_of(keys, text) {
                        source.settings.insert(format!("{table}.{name}"), setting);
                    }
                }
                (name, value) => {
                    source.settings.insert(name.to_owned(), Setting { value: value_of(value), origin });
                }
            }
        }
        source.check_known()?;
        Ok(source)
    }

    /// Puts a value from outside the file over what stands there.
    ///
    /// Whole numbers are read as such, commas separate the values of a list.
    pub(super) fn set(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), ConfigFileError> {
        let value = if TEXT_KEYS.contains(&key) {
            Value::Text(text.to_owned())
        } else if key == "pool.backoff" {
            Value::List(text.split(',').map(|each| scalar_of(each.trim())).collect())
        } else {
            scalar_of(text)
        };
        self.settings.insert(key.to_owned(), Setting { value, origin });
        self.check_known()
    }

    /// An error about a key of this source.
    pub(super) fn error(
        &self,
        origin: Origin,
        key: &str,
        expected: &str,
        found: &str,
        example: &str,
    ) -> ConfigFileError {
        ValueError {
            file: self.file.clone(),
            origin,
            key: key.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
            example: example.to_owned(),
        }
        .into()
    }

    /// Refuses keys that are none.
    fn check_known(&self) -> Result<(), ConfigFileError> {
        for (key, setting) in &self.settings {
            if TOP_KEYS.contains(&key.as_str()) || FIELDS.iter().any(|field| field.key == key) {
                continue;
            }
            if TABLES.contains(&key.as_str()) {
                let example = format!("[{key}]");
                return Err(self.error(setting.origin.clone(), key, "a table", &setting.value.found(), &example));
            }
            let (known, example) = match key.split_once('.') {
                Some((table, _)) => {
                    let fields: Vec<_> = FIELDS.iter().filter(|field| field.table() == table).collect();
                    let example =
                        fields.first().map_or(String::new(), |field| format!("{} = {}", field.name(), field.example));
                    (fields.iter().map(|field| field.name()).collect::<Vec<_>>(), example)
                }
                None => {
                    let known = [TOP_KEYS.as_slice(), &["peers", "spaces"], TABLES.as_slice()].concat();
                    (known, "replica_count = 2".to_owned())
                }
            };
            let expected = format!("one of the keys {}", known.join(", "));
            return Err(self.error(setting.origin.clone(), key, &expected, "an unknown key", &example));
        }
        Ok(())
    }

    /// The rows of an array of tables.
    fn rows(&self, key: &str, value: &DeValue<'_>, origin: Origin, text: &str) -> Result<Vec<Row>, ConfigFileError> {
        let example = format!("[[{key}]]");
        let DeValue::Array(values) = value else {
            let found = value_of(value).found();
            return Err(self.error(origin, key, "a list of tables", &found, &example));
        };
        let mut rows = Vec::new();
        for (index, value) in values.iter().enumerate() {
            let line = line_of(text, value.span().start);
            let name = format!("{key}[{index}]");
            let DeValue::Table(keys) = value.get_ref() else {
                let found = value_of(value.get_ref()).found();
                return Err(self.error(Origin::Line(line), &name, "a table", &found, &example));
            };
            rows.push(Row { name, line, settings: settings_of(keys, text) });
        }
        Ok(rows)
    }
}

impl Row {
    /// Takes a key out.
    pub(super) fn take(&mut self, key: &str) -> Option<Setting> {
        self.settings.remove(key)
    }

    /// The key with its table, for errors.
    pub(super) fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }
}

fn settings_of(keys: &DeTable<'_>, text: &str) -> BTreeMap<String, Setting> {
    let setting = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let key: &Spanned<alloc::borrow::Cow<'_, str>> = key;
        let origin = Origin::Line(line_of(text, key.span().start));
        (key.get_ref().clone().into_owned(), Setting { value: value_of(value.get_ref()), origin })
    };
    keys.iter().map(setting).collect()
}

fn value_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::Other(number.as_str().to_owned()), Value::Integer),
        DeValue::Float(number) => Value::Other(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Value::Other(truth.to_string()),
        DeValue::Datetime(datetime) => Value::Other(datetime.to_string()),
        DeValue::Array(values) => Value::List(values.iter().map(|value| value_of(value.get_ref())).collect()),
        DeValue::Table(_) => Value::Other("a table".to_owned()),
    }
}

fn scalar_of(text: &str) -> Value {
    text.parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Integer)
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
