//! The shell that moves bytes, files and time.
