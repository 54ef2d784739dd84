//! `WWW-Authenticate`: how a registry wants to be told who asks.

/// One way to say who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password.
    Basic,
    /// A token from somebody else.
    Bearer {
        /// Where tokens are given.
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// All challenges of a header that are understood; text that is none of any kind ends the list.
pub(crate) fn parse(text: &str) -> Vec<Challenge> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some((scheme, after)) = word(rest) {
        rest = after.trim_start();
        let mut parameters = Vec::new();
        while let Some((name, value, after)) = parameter(rest) {
            parameters.push((name.to_ascii_lowercase(), value));
            rest = after.trim_start().trim_start_matches(',').trim_start();
        }
        let mut take = |wanted: &str| {
            let at = parameters.iter().position(|(name, _)| name == wanted)?;
            Some(parameters.swap_remove(at).1)
        };
        if scheme.eq_ignore_ascii_case("basic") {
            out.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = take("realm")
        {
            out.push(Challenge::Bearer {
                realm,
                service: take("service"),
                scope: take("scope"),
            });
        }
        rest = rest.trim_start_matches(',').trim_start();
    }
    out
}

/// A word and what follows.
fn word(text: &str) -> Option<(&str, &str)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.!#$%&'*+^`|~".contains(c);
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// `NAME=VALUE` or `NAME="VALUE"`, and what follows.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = word(text)?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let Some(quoted) = rest.strip_prefix('"') else {
        let (value, rest) = word(rest)?;
        return Some((name, value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((name, value, &quoted[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            _ => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    //! Headers as registries send them, and as they should not.

    use super::*;

    #[test]
    fn challenges_of_real_registries_are_understood() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| Challenge::Bearer {
            realm: realm.into(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        };
        let text = r#"Bearer realm="https://auth/token",service="registry",scope="repository:a/b:pull,push""#;
        let expected = bearer(
            "https://auth/token",
            Some("registry"),
            Some("repository:a/b:pull,push"),
        );
        assert_eq!(parse(text), std::slice::from_ref(&expected));
        let two = format!(r#"Basic realm="a \"b\", c", {text}"#);
        assert_eq!(parse(&two), [Challenge::Basic, expected]);
        assert_eq!(
            parse("bearer Realm=x , service = y"),
            [bearer("x", Some("y"), None)]
        );
        assert_eq!(parse("Negotiate, Basic"), [Challenge::Basic]);
        for none in [
            "",
            "Bearer service=x",
            "Bearer realm=\"x",
            "=,=\"",
            "Digest",
        ] {
            assert_eq!(parse(none), [], "{none}");
        }
    }
}
