//! Text that comes from outside, on its way into an error or a log: escaped, or not repeated.

mod printable;
mod secrecy;

pub(crate) use printable::{Printable, is_unprintable};
pub(crate) use secrecy::{may_be_secret, path_prefix};
