//! Variable references in values, as Docker expands them in `ENV`, `ARG`, `LABEL`, `COPY`,
//! `WORKDIR` and `USER`.

use std::{iter::Peekable, str::Chars};

/// How deep defaults may hold further references: `${A:-${B:-${C}}}` has three levels.
const MAX_DEPTH: u32 = 32;

/// Why a text cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A `${` without its `}`.
    #[error("`${{` has no closing `}}`")]
    Unterminated,
    /// Something after the name that is no known modifier.
    #[error("`${{{name}{found}` uses a modifier that is not supported")]
    Modifier {
        /// The variable.
        name: String,
        /// The character after its name.
        found: char,
    },
    /// `${NAME:?MESSAGE}` and the variable is not set.
    #[error("`{name}` is not set: {message}")]
    Unset {
        /// The variable.
        name: String,
        /// What its author says about that.
        message: String,
    },
    /// Defaults within defaults without end.
    #[error("variable references are nested deeper than {MAX_DEPTH} levels")]
    Depth,
}

/// Expands `$NAME`, `${NAME}` and the modifiers `:-`, `-`, `:+`, `+`, `:?`, `?` in `text`, which
/// stands for what is written between double quotes in a Dockerfile.
///
/// `lookup` gives the value of a name; a name without one is empty. A backslash takes the meaning
/// from a following `$`, `"` or `\` and is itself otherwise. Quotes are plain characters.
///
/// ```
/// use nd_instructions::expand;
/// let path = |name: &str| (name == "PATH").then(|| "/bin".to_owned());
/// assert_eq!(expand("/opt/bin:$PATH", &path).unwrap(), "/opt/bin:/bin");
/// assert_eq!(expand(r"${LIB:-/lib}:\$HOME", &path).unwrap(), "/lib:$HOME");
/// ```
pub fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, ExpandError> {
    let mut expander = Expander {
        rest: text.chars().peekable(),
        lookup,
    };
    expander.until(None, 0)
}

struct Expander<'a> {
    rest: Peekable<Chars<'a>>,
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl Expander<'_> {
    /// Expands up to the end, or up to and without `stop`, which is consumed.
    fn until(&mut self, stop: Option<char>, depth: u32) -> Result<String, ExpandError> {
        if depth > MAX_DEPTH {
            return Err(ExpandError::Depth);
        }
        let mut out = String::new();
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => match self
                    .rest
                    .next_if(|next| matches!(next, '$' | '"' | '\\' | '}'))
                {
                    // A brace has a meaning only where one may end the text.
                    Some('}') if stop.is_none() => out.push_str("\\}"),
                    Some(plain) => out.push(plain),
                    None => out.push('\\'),
                },
                '$' => out.push_str(&self.reference(depth)?),
                c if Some(c) == stop => return Ok(out),
                c => out.push(c),
            }
        }
        match stop {
            None => Ok(out),
            Some(_) => Err(ExpandError::Unterminated),
        }
    }

    fn reference(&mut self, depth: u32) -> Result<String, ExpandError> {
        if self.rest.next_if_eq(&'{').is_none() {
            let name = self.name();
            return Ok(if name.is_empty() {
                "$".into()
            } else {
                (self.lookup)(&name).unwrap_or_default()
            });
        }
        let name = self.name();
        let value = (self.lookup)(&name);
        let mut found = self.rest.next().ok_or(ExpandError::Unterminated)?;
        if found == '}' && !name.is_empty() {
            return Ok(value.unwrap_or_default());
        }
        let empty_counts = found == ':';
        if empty_counts {
            found = self.rest.next().ok_or(ExpandError::Unterminated)?;
        }
        if name.is_empty() || !matches!(found, '-' | '+' | '?') {
            return Err(ExpandError::Modifier { name, found });
        }
        let word = self.until(Some('}'), depth + 1)?;
        let value = value.filter(|value| !(empty_counts && value.is_empty()));
        match (found, value) {
            ('-', value) => Ok(value.unwrap_or(word)),
            ('+', value) => Ok(value.map_or_else(String::new, |_| word)),
            (_, Some(value)) => Ok(value),
            (_, None) => {
                let message = if word.is_empty() {
                    "it must have a value".into()
                } else {
                    word
                };
                Err(ExpandError::Unset { name, message })
            }
        }
    }

    /// A name, or one of the shell's parameters of a single character.
    fn name(&mut self) -> String {
        let single = |c: &char| c.is_ascii_digit() || "@*#?$!".contains(*c);
        if let Some(c) = self.rest.next_if(single) {
            return c.into();
        }
        let mut out = String::new();
        while let Some(c) = self
            .rest
            .next_if(|c| c.is_ascii_alphanumeric() || *c == '_')
        {
            out.push(c);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<String, ExpandError> {
        expand(text, &|name| match name {
            "A" => Some("a".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn references_are_replaced_as_docker_does() {
        for (text, wanted) in [
            ("$A/${A}b$Ab", "a/ab"),
            ("$NONE.${EMPTY}.", ".."),
            ("${NONE:-x$A}${EMPTY:-y}${EMPTY-z}", "xay"),
            ("${A:+set}${EMPTY:+no}${EMPTY+yes}${NONE+no}", "setyes"),
            ("${NONE:-${EMPTY:-${A}}}", "a"),
            (r"\$A \\$A \n '$A' ", r"$A \a \n 'a' "),
            ("100$ and $/x", "100$ and $/x"),
            ("${A:?no}", "a"),
            (r"${NONE:-a\}b}\}", r"a}b\}"),
        ] {
            assert_eq!(of(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        assert_eq!(of("${A"), Err(ExpandError::Unterminated));
        assert_eq!(of("${NONE:-x"), Err(ExpandError::Unterminated));
        assert!(matches!(of("${A%x}"), Err(ExpandError::Modifier { .. })));
        assert!(matches!(of("${}"), Err(ExpandError::Modifier { .. })));
        assert!(
            matches!(of("${NONE?why}"), Err(ExpandError::Unset { message, .. }) if message == "why")
        );
        let deep = "${N:-".repeat(1000) + &"}".repeat(1000);
        assert_eq!(of(&deep), Err(ExpandError::Depth));
    }
}
