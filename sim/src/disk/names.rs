//! The names on a disk, and what a crash would make of them.

use std::io;
use std::path::{Path, PathBuf};

use alloc::collections::BTreeMap;

use super::FileNumber;
use crate::draws::{draw, purpose};

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Directory,
    File(FileNumber),
}

/// A file that was moved, and its path now.
pub(super) type Moved = (FileNumber, PathBuf);

/// The names as a reader sees them, those that are durable, and the changes between.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    seen: BTreeMap<PathBuf, Name>,
    durable: BTreeMap<PathBuf, Name>,
    pending: Vec<Change>,
    changes: u64,
}

/// One change of a directory: all of it reaches the medium, or none.
#[derive(Debug, Clone)]
struct Change {
    number: u64,
    directory: PathBuf,
    sets: Vec<(PathBuf, Option<Name>)>,
}

impl Names {
    pub(super) fn file(&self, path: &Path) -> Option<FileNumber> {
        match self.seen.get(path)? {
            Name::File(number) => Some(*number),
            Name::Directory => None,
        }
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (PathBuf, FileNumber)> {
        self.seen.iter().filter_map(|(path, name)| match name {
            Name::File(number) => Some((path.clone(), *number)),
            Name::Directory => None,
        })
    }

    /// Whether any name is this file's: seen, durable, or made by a change that a crash may keep without the one behind it.
    pub(super) fn holds(&self, file: FileNumber) -> bool {
        let name = Name::File(file);
        let changed = self.pending.iter().flat_map(|change| &change.sets).filter_map(|(_, name)| name.as_ref());
        self.seen.values().chain(self.durable.values()).chain(changed).any(|held| *held == name)
    }

    pub(super) fn is_durable(&self, file: FileNumber) -> bool {
        let name = Name::File(file);
        self.durable.iter().any(|(path, held)| *held == name && self.seen.get(path) == Some(held))
    }

    pub(super) fn has_unsynced(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn list(&self, directory: &Path) -> io::Result<Vec<(String, Name)>> {
        if !self.is_directory(directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = self.seen.iter().filter(|(path, _)| path.parent() == Some(directory));
        Ok(inside.filter_map(|(path, name)| Some((path.file_name()?.to_string_lossy().into_owned(), *name))).collect())
    }

    pub(super) fn create_directories(&mut self, directory: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut at = Some(directory);
        while let Some(path) = at {
            if self.file(path).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if self.is_directory(path) {
                break;
            }
            missing.push(path.to_path_buf());
            at = path.parent();
        }
        for path in missing.into_iter().rev() {
            self.change(&path.clone(), vec![(path.clone(), Some(Name::Directory))]);
            // A disk's contract: the names of new directories are durable when they are made.
            if let Some(parent) = path.parent() {
                self.sync(parent);
            }
        }
        Ok(())
    }

    pub(super) fn create(&mut self, path: &Path, number: FileNumber) -> io::Result<()> {
        if self.seen.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|parent| self.is_directory(parent)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(path, vec![(path.to_path_buf(), Some(Name::File(number)))]);
        Ok(())
    }

    /// The files that were moved, with their paths now, and the one whose place was taken.
    ///
    /// A directory moves with all that is in it, at once. Where names in it are not durable, or the new place is
    /// taken, that is refused.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<(Vec<Moved>, Option<FileNumber>)> {
        let replaced = self.file(to);
        let is_directory = *self.seen.get(from).ok_or(io::ErrorKind::NotFound)? == Name::Directory;
        let is_dirty = |within: &Path| self.pending.iter().any(|change| change.directory.starts_with(within));
        if is_directory && (self.seen.contains_key(to) || is_dirty(from)) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut moved = Vec::new();
        let mut sets = Vec::new();
        for (path, name) in &self.seen {
            let Ok(below) = path.strip_prefix(from) else { continue };
            let path_now = if below.as_os_str().is_empty() { to.to_path_buf() } else { to.join(below) };
            if let Name::File(number) = name {
                moved.push((*number, path_now.clone()));
            }
            sets.push((path.clone(), None));
            sets.push((path_now, Some(*name)));
        }
        self.change(to, sets);
        Ok((moved, replaced))
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<FileNumber> {
        let number = self.file(path).ok_or(io::ErrorKind::NotFound)?;
        self.change(path, vec![(path.to_path_buf(), None)]);
        Ok(number)
    }

    pub(super) fn sync(&mut self, directory: &Path) {
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let here = change.directory == directory;
            if here {
                apply(durable, change);
            }
            !here
        });
    }

    pub(super) fn settle(&mut self) {
        self.durable = self.seen.clone();
        self.pending.clear();
    }

    /// Each unsynced change is kept or lost; what lies in a lost directory is lost with it.
    pub(super) fn crash(&mut self, key: u64) {
        for change in core::mem::take(&mut self.pending) {
            if draw(key, purpose::CRASH_NAME, change.number, 0).is_multiple_of(2) {
                apply(&mut self.durable, &change);
            }
        }
        self.lose_the_rest();
    }

    /// The unsynced changes, in the order in which they were made.
    pub(super) fn unsynced(&self) -> impl Iterator<Item = &[(PathBuf, Option<Name>)]> {
        self.pending.iter().map(|change| change.sets.as_slice())
    }

    /// Of the unsynced changes these are kept, made in this order; what lies in a lost directory is lost with it.
    pub(super) fn survive(&mut self, kept: &[usize]) {
        let pending = core::mem::take(&mut self.pending);
        for change in kept.iter().filter_map(|index| pending.get(*index)) {
            apply(&mut self.durable, change);
        }
        self.lose_the_rest();
    }

    fn lose_the_rest(&mut self) {
        let all = self.durable.clone();
        self.durable.retain(|path, _| {
            path.ancestors().skip(1).all(|above| is_root(above) || all.get(above) == Some(&Name::Directory))
        });
        self.seen = self.durable.clone();
    }

    fn change(&mut self, path: &Path, sets: Vec<(PathBuf, Option<Name>)>) {
        self.changes += 1;
        let directory = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let change = Change { number: self.changes, directory, sets };
        apply(&mut self.seen, &change);
        self.pending.push(change);
    }

    fn is_directory(&self, path: &Path) -> bool {
        is_root(path) || self.seen.get(path) == Some(&Name::Directory)
    }
}

fn is_root(path: &Path) -> bool {
    path.parent().is_none()
}

fn apply(names: &mut BTreeMap<PathBuf, Name>, change: &Change) {
    for (path, name) in &change.sets {
        match name {
            Some(name) => names.insert(path.clone(), *name),
            None => names.remove(path),
        };
    }
}
