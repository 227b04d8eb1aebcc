//! Checks of what extensions return: a wrong shape is an error of its own, and
//! never one that happens to broadcast.

use tch::Tensor;

use crate::AstError;
use crate::extension::{Context, Extension, HookError, Projection};

/// `found` if it has the size `expected`.
pub(crate) fn same(
    hook: &'static str,
    found: Tensor,
    expected: &[i64],
) -> Result<Tensor, HookError> {
    let size = found.size();
    if size == expected {
        return Ok(found);
    }
    Err(refused(hook, size, format!("{expected:?}")))
}

/// `found` if it is [B, L, D] with this B and D and at least one token.
pub(crate) fn sequence(
    hook: &'static str,
    found: Tensor,
    [batch, width]: [i64; 2],
) -> Result<Tensor, HookError> {
    match found.size()[..] {
        [b, tokens, d] if b == batch && d == width && tokens > 0 => Ok(found),
        _ => {
            let expected = format!("[{batch}, any, {width}]");
            Err(refused(hook, found.size(), expected))
        }
    }
}

/// Keys and values if both are [1, M, D] with this D.
pub(crate) fn keys_and_values(
    (keys, values): (Tensor, Tensor),
    width: i64,
) -> Result<(Tensor, Tensor), HookError> {
    let hook = "key_value_tokens";
    let expected = [1, keys.size().get(1).copied().unwrap_or(1), width];
    Ok((same(hook, keys, &expected)?, same(hook, values, &expected)?))
}

/// What the extension makes of a projection's output, of the same size.
pub(crate) fn projected(
    extension: &dyn Extension,
    context: &Context,
    projection: Projection,
    input: &Tensor,
    output: Tensor,
) -> Result<Tensor, HookError> {
    let size = output.size();
    let found = extension.project(context, projection, input, output)?;
    same("project", found, &size)
}

/// x + y for tensors of one size; both are given up.
pub(crate) fn sum(x: Tensor, y: Tensor) -> Result<Tensor, HookError> {
    Ok(x.f_add(&y)?)
}

fn refused(hook: &'static str, found: Vec<i64>, expected: String) -> HookError {
    let error = AstError::HookShape {
        hook,
        found,
        expected,
    };
    error.into()
}
