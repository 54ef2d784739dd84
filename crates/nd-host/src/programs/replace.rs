//! Becoming another program.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt as _,
    path::Path,
};

/// Replaces this process by `program`: same process, streams, terminal and working directory, with
/// exactly the arguments `argv` (the first is the name that the program sees) and the environment
/// `variables`. Returns only when that failed.
pub fn replace_process<'a>(
    program: &Path,
    argv: &[OsString],
    variables: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>,
) -> io::Error {
    #[expect(
        clippy::disallowed_methods,
        reason = "this crate starts programs of others"
    )]
    let mut command = std::process::Command::new(program);
    if let Some((name, rest)) = argv.split_first() {
        command.arg0(name).args(rest);
    }
    command.env_clear().envs(variables).exec()
}

#[cfg(test)]
mod tests {
    //! What can be seen without ending the test.

    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = replace_process(Path::new("/no/such/program"), &["x".into()], []);
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
