//! What root inside may do.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// The capabilities that container engines leave to root by default: enough for package managers,
/// nothing that mounts, traces other users or changes the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContainerCapabilities;

impl ContainerCapabilities {
    /// As a set.
    pub fn set(self) -> CapabilitySet {
        CapabilitySet::CHOWN
            | CapabilitySet::DAC_OVERRIDE
            | CapabilitySet::FSETID
            | CapabilitySet::FOWNER
            | CapabilitySet::MKNOD
            | CapabilitySet::NET_RAW
            | CapabilitySet::SETGID
            | CapabilitySet::SETUID
            | CapabilitySet::SETFCAP
            | CapabilitySet::SETPCAP
            | CapabilitySet::NET_BIND_SERVICE
            | CapabilitySet::SYS_CHROOT
            | CapabilitySet::KILL
            | CapabilitySet::AUDIT_WRITE
    }
}

/// Takes from this process, and from whatever it or setuid programs below it execute, the chance to
/// ever have more than `keep`. Needs CAP_SETPCAP.
pub fn drop_from_bounding_set(keep: CapabilitySet) -> io::Result<()> {
    for bit in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        if keep.contains(one) {
            continue;
        }
        match remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // Beyond the last one that this kernel knows.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Leaves this process with `keep` at most, and nothing to inherit.
pub fn drop_capabilities(keep: CapabilitySet) -> io::Result<()> {
    clear_ambient_capability_set()?;
    let have = rustix::thread::capabilities(None)?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: have.effective & keep,
            permitted: have.permitted & keep,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(())
}
