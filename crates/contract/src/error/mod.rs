//! Errors of a request.
//!
//! - `invalid.rs`: which parameter, and whether it is missing or malformed.
//! - `param_error.rs`: why a parameter that is present cannot be used, with the caller's sentences.

mod invalid;
mod param_error;

pub use invalid::{Invalid, Param};
pub use param_error::ParamError;
