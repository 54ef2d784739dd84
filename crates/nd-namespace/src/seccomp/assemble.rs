//! Rules to instructions of the kernel's packet filter.

use libc::sock_filter;

use super::Program;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const IF_BITS: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const IF_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const NOTIFY: u32 = 0x7fc0_0000;

/// What a call is answered when it does not reach the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Success, without anything done.
    Nothing,
    /// Not permitted: a program that knows what it asks for takes no for an answer.
    Refused,
    /// No such call: programs have another way, as on an older kernel.
    Unknown,
    /// What whoever listens to the filter says.
    Asked,
}

impl Answer {
    fn code(self) -> u32 {
        match self {
            Self::Nothing => ERRNO,
            Self::Refused => ERRNO | libc::EPERM as u32,
            Self::Unknown => ERRNO | libc::ENOSYS as u32,
            Self::Asked => NOTIFY,
        }
    }
}

/// Which calls of a number are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// All.
    Always,
    /// Those whose argument of this position has one of these bits (of its lower 32).
    Bits(u8, u32),
    /// Those whose argument of this position has none of these bits (of its lower 32).
    Without(u8, u32),
    /// Those whose argument of this position, masked, is one of these values (in its lower 32 bits).
    Masked(u8, u32, &'static [u32]),
}

/// A call by number, and what it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) number: u32,
    pub(super) when: When,
    pub(super) answer: Answer,
}

/// The rules for one way of calling the kernel.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// `AUDIT_ARCH_*`.
    pub(super) architecture: u32,
    pub(super) rules: Vec<Rule>,
    /// Numbers from here up are unknown (x32 on x86_64).
    pub(super) unknown_from: Option<u32>,
}

/// One program of all sections; calls of any other architecture are unknown.
pub(super) fn assemble(sections: &[Section]) -> Program {
    let mut code = vec![op(LOAD, 0, 0, ARCHITECTURE)];
    for section in sections {
        let body = body(section);
        // The jump over the body may be longer than the 255 of a conditional one.
        code.push(op(IF_EQUAL, 1, 0, section.architecture));
        code.push(op(JUMP, 0, 0, body.len() as u32));
        code.extend(body);
    }
    code.push(op(RETURN, 0, 0, Answer::Unknown.code()));
    Program { instructions: code }
}

fn body(section: &Section) -> Vec<sock_filter> {
    let mut code = vec![op(LOAD, 0, 0, NUMBER)];
    if let Some(first) = section.unknown_from {
        code.push(op(IF_AT_LEAST, 0, 1, first));
        code.push(op(RETURN, 0, 0, Answer::Unknown.code()));
    }
    for rule in &section.rules {
        let answer = op(RETURN, 0, 0, rule.answer.code());
        match rule.when {
            When::Always => code.extend([op(IF_EQUAL, 0, 1, rule.number), answer]),
            When::Bits(argument, bits) => code.extend([
                op(IF_EQUAL, 0, 4, rule.number),
                op(LOAD, 0, 0, low(argument)),
                op(IF_BITS, 0, 1, bits),
                answer,
                op(LOAD, 0, 0, NUMBER),
            ]),
            When::Without(argument, bits) => code.extend([
                op(IF_EQUAL, 0, 4, rule.number),
                op(LOAD, 0, 0, low(argument)),
                op(IF_BITS, 1, 0, bits),
                answer,
                op(LOAD, 0, 0, NUMBER),
            ]),
            When::Masked(argument, mask, values) => {
                let mut test = vec![op(LOAD, 0, 0, low(argument)), op(AND, 0, 0, mask)];
                for &value in values {
                    test.extend([op(IF_EQUAL, 0, 1, value), answer]);
                }
                test.push(op(LOAD, 0, 0, NUMBER));
                code.push(op(IF_EQUAL, 0, test.len() as u8, rule.number));
                code.extend(test);
            }
        }
    }
    code.push(op(RETURN, 0, 0, ALLOW));
    code
}

/// The lower half of an argument; both architectures are little-endian.
fn low(argument: u8) -> u32 {
    ARGUMENTS + 8 * u32::from(argument)
}

fn op(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Runs a program as the kernel would, for tests of what it answers.
#[cfg(test)]
pub(super) fn simulate(
    program: &Program,
    architecture: u32,
    number: u32,
    arguments: [u64; 6],
) -> u32 {
    let mut at = 0;
    let mut accumulator = 0;
    loop {
        let ins = program.instructions[at];
        at += 1;
        let branch = |taken: bool| usize::from(if taken { ins.jt } else { ins.jf });
        match ins.code {
            LOAD => {
                accumulator = match ins.k {
                    NUMBER => number,
                    ARCHITECTURE => architecture,
                    offset => arguments[((offset - ARGUMENTS) / 8) as usize] as u32,
                }
            }
            AND => accumulator &= ins.k,
            JUMP => at += ins.k as usize,
            IF_EQUAL => at += branch(accumulator == ins.k),
            IF_BITS => at += branch(accumulator & ins.k != 0),
            IF_AT_LEAST => at += branch(accumulator >= ins.k),
            RETURN => return ins.k,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}
