//! Courses of changes.
