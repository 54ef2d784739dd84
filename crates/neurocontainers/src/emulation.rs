//! Containers of another architecture than the machine's.

use nd_host::Programs;
use nd_names::Architecture;
use nd_sandbox::{Emulator, machine_emulates};

/// Nobody here runs programs of that architecture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this machine is {machine} and has no emulator for {wanted}")]
pub struct NoEmulator {
    /// The machine's architecture.
    pub machine: Architecture,
    /// The container's.
    pub wanted: Architecture,
}

impl NoEmulator {
    /// What to do about it.
    pub fn hint(&self) -> String {
        let wanted = self.wanted.as_str();
        format!(
            "install `qemu-user-static`, which has `qemu-{wanted}-static`, and `arch-test`: the \
             sandbox uses them for itself (Linux 6.7 or newer), and leaves the machine as it is"
        )
    }
}

/// Who runs programs of `architecture` in the sandbox; `None` where the machine does it by itself.
pub fn emulator(
    architecture: Architecture,
    programs: &dyn Programs,
) -> Result<Option<Emulator>, NoEmulator> {
    let machine = Architecture::of_this_program().unwrap_or(Architecture::X86_64);
    if architecture == machine || machine_emulates(architecture) {
        return Ok(None);
    }
    match Emulator::find(architecture, programs) {
        Some(emulator) => Ok(Some(emulator)),
        None => Err(NoEmulator {
            machine,
            wanted: architecture,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use nd_host::{Finished, Invocation, ProgramError, Stream};
    use nd_report::Cancel;

    use super::*;

    struct BareMachine;

    impl Programs for BareMachine {
        fn find(&self, _: &str) -> Option<PathBuf> {
            None
        }

        fn run(
            &self,
            _: &Invocation,
            _: &mut dyn FnMut(Stream, &[u8]),
            _: &Cancel,
        ) -> Result<Finished, ProgramError> {
            unreachable!("nothing is run to find an emulator")
        }
    }

    #[test]
    fn without_an_emulator_the_package_is_named() {
        let own = Architecture::of_this_program().unwrap();
        assert!(matches!(emulator(own, &BareMachine), Ok(None)));
        let other = Architecture::ALL.into_iter().find(|other| *other != own);
        match emulator(other.unwrap(), &BareMachine) {
            // The machine has an emulator of its own.
            Ok(found) => assert!(found.is_none()),
            Err(error) => assert!(error.hint().contains("install `qemu-user-static`")),
        }
    }
}
