//! Numbers of system calls on every architecture that programs in an image may use, so that each
//! table can be built and tested wherever this is compiled.

/// Ways of calling the kernel: `AUDIT_ARCH_*`.
pub(super) const X86_64: u32 = 0xc000_003e;
pub(super) const I386: u32 = 0x4000_0003;
pub(super) const AARCH64: u32 = 0xc000_00b7;

/// A call with its numbers on x86_64, i386 and aarch64, in this order; `NONE` where it does not exist.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "says what the numbers are, and what a failing test is about"
        )
    )]
    pub(super) name: &'static str,
    pub(super) x86_64: u32,
    pub(super) i386: u32,
    pub(super) aarch64: u32,
}

pub(super) const NONE: u32 = u32::MAX;

pub(super) const fn call(name: &'static str, x86_64: u32, i386: u32, aarch64: u32) -> Call {
    Call {
        name,
        x86_64,
        i386,
        aarch64,
    }
}

impl Call {
    pub(super) fn number(&self, architecture: u32) -> Option<u32> {
        let number = match architecture {
            X86_64 => self.x86_64,
            I386 => self.i386,
            AARCH64 => self.aarch64,
            _ => NONE,
        };
        (number != NONE).then_some(number)
    }
}

/// Refused to everybody in a container.
pub(super) const REFUSED: &[Call] = &[
    // Keys of the kernel know no namespaces.
    call("add_key", 248, 286, 217),
    call("request_key", 249, 287, 218),
    call("keyctl", 250, 288, 219),
    // Programs in the kernel, and looking into it.
    call("bpf", 321, 357, 280),
    call("perf_event_open", 298, 336, 241),
    call("userfaultfd", 323, 374, 282),
    call("syslog", 103, 103, 116),
    call("lookup_dcookie", 212, 253, 18),
    call("kcmp", 312, 349, 272),
    // Another kernel, or pieces of one.
    call("kexec_load", 246, 283, 104),
    call("kexec_file_load", 320, NONE, 294),
    call("init_module", 175, 128, 105),
    call("finit_module", 313, 350, 273),
    call("delete_module", 176, 129, 106),
    call("create_module", 174, 127, NONE),
    call("reboot", 169, 88, 142),
    // Mounts and namespaces: the way to capabilities that were taken away.
    call("mount", 165, 21, 40),
    call("umount", NONE, 22, NONE),
    call("umount2", 166, 52, 39),
    call("pivot_root", 155, 217, 41),
    call("setns", 308, 346, 268),
    call("open_tree", 428, 428, 428),
    call("move_mount", 429, 429, 429),
    call("fsopen", 430, 430, 430),
    call("fsconfig", 431, 431, 431),
    call("fsmount", 432, 432, 432),
    call("fspick", 433, 433, 433),
    call("mount_setattr", 442, 442, 442),
    call("open_tree_attr", 467, 467, 467),
    // Files without a path.
    call("open_by_handle_at", 304, 342, 265),
    // The machine itself.
    call("swapon", 167, 87, 224),
    call("swapoff", 168, 115, 225),
    call("acct", 163, 51, 89),
    call("quotactl", 179, 131, 60),
    call("quotactl_fd", 443, 443, 443),
    call("nfsservctl", 180, 169, 42),
    call("settimeofday", 164, 79, 170),
    call("clock_settime", 227, 264, 112),
    call("stime", NONE, 25, NONE),
    call("clock_settime64", NONE, 404, NONE),
    call("iopl", 172, 110, NONE),
    call("ioperm", 173, 101, NONE),
    call("vm86", NONE, 166, NONE),
    call("vm86old", NONE, 113, NONE),
];

/// Unknown to everybody in a container: programs fall back to older calls.
pub(super) const UNKNOWN: &[Call] = &[
    // Its flags stand in memory, where a filter cannot read them; `clone` has them in an argument.
    call("clone3", 435, 435, 435),
    // Does what other calls do without passing this filter.
    call("io_uring_setup", 425, 425, 425),
    call("io_uring_enter", 426, 426, 426),
    call("io_uring_register", 427, 427, 427),
];

pub(super) const CLONE: Call = call("clone", 56, 120, 220);
pub(super) const UNSHARE: Call = call("unshare", 272, 310, 97);
pub(super) const IOCTL: Call = call("ioctl", 16, 54, 29);
pub(super) const SOCKET: Call = call("socket", 41, 359, 198);

/// Answered with success where there is one id only.
pub(super) const OWNERS: &[Call] = &[
    call("chown", 92, 212, NONE),
    call("fchown", 93, 207, 55),
    call("lchown", 94, 198, NONE),
    call("fchownat", 260, 298, 54),
    call("chown16", NONE, 182, NONE),
    call("fchown16", NONE, 95, NONE),
    call("lchown16", NONE, 16, NONE),
    call("setuid", 105, 213, 146),
    call("setgid", 106, 214, 144),
    call("setreuid", 113, 203, 145),
    call("setregid", 114, 204, 143),
    call("setgroups", 116, 206, 159),
    call("setresuid", 117, 208, 147),
    call("setresgid", 119, 210, 149),
    call("setfsuid", 122, 215, 151),
    call("setfsgid", 123, 216, 152),
    call("setuid16", NONE, 23, NONE),
    call("setgid16", NONE, 46, NONE),
    call("setreuid16", NONE, 70, NONE),
    call("setregid16", NONE, 71, NONE),
    call("setgroups16", NONE, 81, NONE),
    call("setresuid16", NONE, 164, NONE),
    call("setresgid16", NONE, 170, NONE),
    call("setfsuid16", NONE, 138, NONE),
    call("setfsgid16", NONE, 139, NONE),
];

/// The mode is the second argument.
pub(super) const MKNOD: Call = call("mknod", 133, 14, NONE);
/// The mode is the third argument.
pub(super) const MKNODAT: Call = call("mknodat", 259, 297, 33);
