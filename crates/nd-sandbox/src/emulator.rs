//! Programs of another architecture, run by an emulator that the sandbox alone knows of.
//!
//! The kernel starts an emulator for programs that `binfmt_misc` describes to it. Since Linux 6.7 each
//! user namespace has descriptions of its own; they hold for the namespace and what is below it, and go
//! with it. The machine's own list is never touched.

use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use nd_host::Programs;
use nd_names::Architecture;
use nd_namespace::{Attributes, Filesystem};
use rustix::fs::{Mode, OFlags};

use crate::{SandboxError, interpreter::interpreter};

/// A program that runs those of another architecture, as `qemu-aarch64-static` of QEMU's user mode.
#[derive(Debug, Clone)]
pub struct Emulator {
    architecture: Architecture,
    program: Arc<File>,
}

impl Emulator {
    /// The emulator of Debian's `qemu-user-static`, or the program without the suffix that others
    /// have, if it stands alone.
    pub fn find(architecture: Architecture, programs: &dyn Programs) -> Option<Self> {
        let name = format!("qemu-{}", architecture.as_str());
        [format!("{name}-static"), name]
            .iter()
            .filter_map(|name| programs.find(name))
            .find_map(|path| Self::open(architecture, &path).ok())
    }

    /// The emulator at `program`. It must need neither loader nor libraries, since it is started where
    /// there are only those of the other architecture.
    pub fn open(architecture: Architecture, program: &Path) -> Result<Self, SandboxError> {
        let refuse = |why: &'static str| SandboxError::Emulator {
            program: program.to_path_buf(),
            why,
        };
        let open = SandboxError::setup(format!("open `{}`", program.display()));
        let file: File = fs_err::File::open(program).map_err(open)?.into();
        let meta = file
            .metadata()
            .map_err(SandboxError::setup("look at the emulator"))?;
        if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
            return Err(refuse("is not a program"));
        }
        // A file that ends early has no interpreter either.
        let read = |buffer: &mut [u8], at| file.read_at(buffer, at).unwrap_or(0);
        if interpreter(read).is_some() {
            return Err(refuse("needs a loader or an interpreter"));
        }
        Ok(Self {
            architecture,
            program: Arc::new(file),
        })
    }

    /// What it runs.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The name and the descriptor by which the engine gets it.
    pub(crate) fn parts(&self) -> (&'static str, &File) {
        (self.architecture.as_str(), &self.program)
    }
}

/// Whether the machine itself starts an emulator for programs of `architecture`, one that it opened
/// when it was told of it: others are not found inside an image.
pub fn machine_emulates(architecture: Architecture) -> bool {
    let name = format!("qemu-{}", architecture.as_str());
    let path = PathBuf::from("/proc/sys/fs/binfmt_misc").join(name);
    let text = fs_err::read_to_string(path).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    text.starts_with("enabled") && flags.is_some_and(|flags| flags.contains('F'))
}

/// Tells the kernel of an emulator for this user namespace. What is given keeps it so.
pub(crate) fn register(architecture: Architecture, program: &OwnedFd) -> io::Result<OwnedFd> {
    let list = Filesystem::new("binfmt_misc")?.mount(Attributes::DATA)?;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let register = rustix::fs::openat(list.as_fd(), "register", flags, Mode::empty())?;
    let line = description(architecture, program.as_raw_fd());
    // The kernel takes a description in one write.
    let written = rustix::io::write(&register, line.as_bytes())?;
    if written == line.len() {
        Ok(list)
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

/// `:name:M:offset:magic:mask:interpreter:flags`, as the kernel's `admin-guide/binfmt-misc.rst` has
/// it. `P` keeps the first word of the command, `O` and `C` run what only its owner may read and
/// honour its set-id bits, `F` opens the emulator now, while it can be seen.
fn description(architecture: Architecture, program: i32) -> String {
    // The start of an ELF header: 64 bits, little-endian, version 1, any system, a program or a
    // library, the machine.
    let machine: u8 = match architecture {
        Architecture::X86_64 => 62,
        Architecture::Aarch64 => 183,
    };
    let mut magic = [0; 20];
    magic[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    magic[16] = 2;
    magic[18] = machine;
    let mut mask = [0xff; 20];
    mask[7] = 0;
    mask[16] = 0xfe;
    let hex = |bytes: [u8; 20]| {
        let bytes = bytes.map(|byte| format!("\\x{byte:02x}"));
        bytes.concat()
    };
    format!(
        ":qemu-{}:M:0:{}:{}:/proc/self/fd/{program}:POCF",
        architecture.as_str(),
        hex(magic),
        hex(mask)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_libraries_of_the_other_machine_are_described() {
        let line = description(Architecture::Aarch64, 7);
        let magic = "\\x7f\\x45\\x4c\\x46\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00";
        let parts: Vec<&str> = line.split(':').collect();
        assert_eq!(&parts[..5], ["", "qemu-aarch64", "M", "0", magic]);
        assert!(parts[5].ends_with("\\xfe\\xff\\xff\\xff"));
        assert_eq!(&parts[6..], ["/proc/self/fd/7", "POCF"]);
    }

    #[test]
    fn an_emulator_stands_alone() {
        let own = std::env::current_exe().unwrap();
        let error = Emulator::open(Architecture::Aarch64, &own).unwrap_err();
        assert!(error.to_string().contains("needs a loader"), "{error}");
    }
}
