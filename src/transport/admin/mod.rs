//! Pages for operators: health, metrics, status and the console.

pub(super) mod assets;
pub(super) mod console;
pub(super) mod pages;
pub(super) mod status;
