//! Which calls are refused and which are pretended.

use super::{
    Program, UnsupportedArchitecture,
    assemble::{Answer, Rule, Section, When, assemble},
    numbers::{
        AARCH64, CLONE, Call, I386, IOCTL, MKNOD, MKNODAT, OWNERS, REFUSED, SOCKET, UNKNOWN,
        UNSHARE, X86_64,
    },
};

/// Every `CLONE_NEW*` that `clone` takes.
const NEW_NAMESPACES: u32 = 0x7e02_0000;
/// `CLONE_NEWTIME`, which only `unshare` takes.
const NEW_TIME: u32 = 0x80;

/// Pushing characters into a terminal, which the caller's shell would run.
const TERMINAL_INPUT: &[u32] = &[0x5412, 0x541c]; // TIOCSTI, TIOCLINUX

/// Machines that talk to their host; the address family knows no namespaces.
const VSOCK: &[u32] = &[40];

/// `S_IFMT` and the kinds that only a real root makes.
const KIND: u32 = 0o170_000;
const DEVICES: &[u32] = &[0o020_000, 0o060_000];

/// What nothing inside a container may call, root or not: see the tables for the reasons.
///
/// It is a list of what is refused, not of what is allowed, so that programs keep working that use
/// calls newer than this list. What is refused here is a second line of defence: capabilities and
/// the user namespace forbid nearly all of it already.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlockList;

impl BlockList {
    /// For the processor this program was compiled for.
    pub fn program(self) -> Result<Program, UnsupportedArchitecture> {
        for_this_processor(Self::rules)
    }

    fn rules(architecture: u32) -> Vec<Rule> {
        let refuse = |call: &Call, when| rule(call, architecture, when, Answer::Refused);
        let mut rules: Vec<_> = REFUSED
            .iter()
            .filter_map(|call| refuse(call, When::Always))
            .collect();
        rules.extend(
            UNKNOWN
                .iter()
                .filter_map(|call| rule(call, architecture, When::Always, Answer::Unknown)),
        );
        rules.extend(refuse(&CLONE, When::Bits(0, NEW_NAMESPACES)));
        rules.extend(refuse(&UNSHARE, When::Bits(0, NEW_NAMESPACES | NEW_TIME)));
        rules.extend(refuse(&IOCTL, When::Masked(1, u32::MAX, TERMINAL_INPUT)));
        rules.extend(refuse(&SOCKET, When::Masked(0, u32::MAX, VSOCK)));
        rules
    }
}

/// What lets package managers believe that they are root where there is one id only: changes of
/// owner and of identity succeed without doing anything, and so does making a device.
#[derive(Debug, Clone, Copy, Default)]
pub struct FakeRoot;

impl FakeRoot {
    /// For the processor this program was compiled for.
    pub fn program(self) -> Result<Program, UnsupportedArchitecture> {
        for_this_processor(Self::rules)
    }

    fn rules(architecture: u32) -> Vec<Rule> {
        let pretend = |call: &Call, when| rule(call, architecture, when, Answer::Nothing);
        let mut rules: Vec<_> = OWNERS
            .iter()
            .filter_map(|call| pretend(call, When::Always))
            .collect();
        rules.extend(pretend(&MKNOD, When::Masked(1, KIND, DEVICES)));
        rules.extend(pretend(&MKNODAT, When::Masked(2, KIND, DEVICES)));
        rules
    }
}

pub(super) fn rule(call: &Call, architecture: u32, when: When, answer: Answer) -> Option<Rule> {
    Some(Rule {
        number: call.number(architecture)?,
        when,
        answer,
    })
}

pub(super) fn for_this_processor(
    rules: impl Fn(u32) -> Vec<Rule>,
) -> Result<Program, UnsupportedArchitecture> {
    let sections = if cfg!(target_arch = "x86_64") {
        x86_64(&rules)
    } else if cfg!(target_arch = "aarch64") {
        aarch64(&rules)
    } else {
        return Err(UnsupportedArchitecture);
    };
    Ok(assemble(&sections))
}

fn x86_64(rules: &impl Fn(u32) -> Vec<Rule>) -> Vec<Section> {
    vec![
        Section {
            architecture: X86_64,
            rules: rules(X86_64),
            // x32 has the numbers of x86_64 and this bit, which would pass every rule.
            unknown_from: Some(0x4000_0000),
        },
        Section {
            architecture: I386,
            rules: rules(I386),
            unknown_from: None,
        },
    ]
}

/// 32-bit programs find no kernel at all: their calls have numbers of their own.
fn aarch64(rules: &impl Fn(u32) -> Vec<Rule>) -> Vec<Section> {
    vec![Section {
        architecture: AARCH64,
        rules: rules(AARCH64),
        unknown_from: None,
    }]
}

#[cfg(test)]
mod tests {
    //! What the programs answer, on each architecture, by a simulation of the kernel's filter.

    use super::{
        super::{
            Program,
            assemble::{assemble, simulate},
            numbers::{AARCH64, Call, I386, OWNERS, REFUSED, UNKNOWN, X86_64},
        },
        BlockList, FakeRoot, aarch64, x86_64,
    };

    const ALLOW: u32 = 0x7fff_0000;
    const SUCCESS: u32 = 0x0005_0000;
    const EPERM: u32 = 0x0005_0001;
    const ENOSYS: u32 = 0x0005_0026;

    fn programs(list: impl Fn(u32) -> Vec<super::Rule>) -> [(Program, Vec<u32>); 2] {
        [
            (assemble(&x86_64(&list)), vec![X86_64, I386]),
            (assemble(&aarch64(&list)), vec![AARCH64]),
        ]
    }

    #[test]
    fn every_listed_call_is_answered_as_listed_and_others_pass() {
        for (program, architectures) in programs(BlockList::rules) {
            for &arch in &architectures {
                let ask = |call: &Call| {
                    call.number(arch)
                        .map(|number| simulate(&program, arch, number, [0; 6]))
                };
                for call in REFUSED {
                    assert!(matches!(ask(call), None | Some(EPERM)), "{}", call.name);
                }
                for call in UNKNOWN {
                    assert_eq!(ask(call), Some(ENOSYS), "{}", call.name);
                }
                for call in OWNERS {
                    assert!(matches!(ask(call), None | Some(ALLOW)), "{}", call.name);
                }
                assert!(program.len() < 4096);
            }
            assert_eq!(simulate(&program, 0x1234, 1, [0; 6]), ENOSYS);
        }
    }

    #[test]
    fn arguments_decide_where_they_should() {
        let [(program, _), _] = programs(BlockList::rules);
        let ask = |number, arguments| simulate(&program, X86_64, number, arguments);
        // A thread, then a user namespace.
        assert_eq!(ask(56, [0x003d_0f00, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(ask(56, [0x1000_0011, 0, 0, 0, 0, 0]), EPERM);
        assert_eq!(ask(272, [0x0000_0400, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(ask(272, [0x0002_0000, 0, 0, 0, 0, 0]), EPERM);
        assert_eq!(ask(16, [0, 0x5413, 0, 0, 0, 0]), ALLOW);
        assert_eq!(ask(16, [0, 0x5412, 0, 0, 0, 0]), EPERM);
        // The kernel looks at the lower half of the request only.
        assert_eq!(ask(16, [0, 0x1_0000_5412, 0, 0, 0, 0]), EPERM);
        assert_eq!(ask(41, [2, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(ask(41, [40, 0, 0, 0, 0, 0]), EPERM);
        // x32.
        assert_eq!(ask(0x4000_0000 + 165, [0; 6]), ENOSYS);
    }

    #[test]
    fn owners_are_pretended_and_fifos_are_made() {
        let [(program, _), (arm, _)] = programs(FakeRoot::rules);
        for call in OWNERS {
            for (program, arch) in [(&program, X86_64), (&program, I386), (&arm, AARCH64)] {
                if let Some(number) = call.number(arch) {
                    let answer = simulate(program, arch, number, [0; 6]);
                    assert_eq!(answer, SUCCESS, "{}", call.name);
                }
            }
        }
        let mknod = |mode| simulate(&program, X86_64, 133, [0, mode, 0, 0, 0, 0]);
        assert_eq!(mknod(0o060_644), SUCCESS);
        assert_eq!(mknod(0o020_644), SUCCESS);
        assert_eq!(mknod(0o010_644), ALLOW);
        assert_eq!(mknod(0o100_644), ALLOW);
        assert_eq!(
            simulate(&arm, AARCH64, 33, [0, 0, 0o060_644, 0, 0, 0]),
            SUCCESS
        );
    }

    #[test]
    fn numbers_are_those_of_the_c_library() {
        #[cfg(target_arch = "x86_64")]
        {
            let known = [
                ("add_key", libc::SYS_add_key),
                ("keyctl", libc::SYS_keyctl),
                ("bpf", libc::SYS_bpf),
                ("perf_event_open", libc::SYS_perf_event_open),
                ("userfaultfd", libc::SYS_userfaultfd),
                ("kexec_load", libc::SYS_kexec_load),
                ("kexec_file_load", libc::SYS_kexec_file_load),
                ("finit_module", libc::SYS_finit_module),
                ("mount", libc::SYS_mount),
                ("umount2", libc::SYS_umount2),
                ("pivot_root", libc::SYS_pivot_root),
                ("setns", libc::SYS_setns),
                ("open_by_handle_at", libc::SYS_open_by_handle_at),
                ("kcmp", libc::SYS_kcmp),
                ("acct", libc::SYS_acct),
                ("quotactl", libc::SYS_quotactl),
                ("clock_settime", libc::SYS_clock_settime),
                ("setresuid", libc::SYS_setresuid),
                ("setfsgid", libc::SYS_setfsgid),
                ("fchownat", libc::SYS_fchownat),
                ("setgroups", libc::SYS_setgroups),
                ("clone3", libc::SYS_clone3),
                ("io_uring_setup", libc::SYS_io_uring_setup),
            ];
            for (name, number) in known {
                let call = REFUSED
                    .iter()
                    .chain(UNKNOWN)
                    .chain(OWNERS)
                    .find(|call| call.name == name)
                    .unwrap();
                assert_eq!(i64::from(call.x86_64), number, "{name}");
            }
        }
    }
}
