//! APT's configuration (`apt.conf(5)`), as far as it says how to reach archives.

/// Reads configuration text into full names and values, in order.
///
/// Both forms are understood: `A::B "v";` and `A { B "v"; };`. Items of lists and directives such as
/// `#clear` name no way to an archive and are passed over.
pub(crate) fn parse_apt_conf(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut scope: Vec<String> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    for token in tokens(text) {
        match token {
            Token::Word(word) => {
                words.push(word);
                continue;
            }
            Token::Open => scope.push(words.first().cloned().unwrap_or_default()),
            Token::Close => {
                scope.pop();
            }
            Token::End => {
                if let [name, value] = &words[..] {
                    let parts = scope.iter().chain([name]);
                    let name: Vec<&str> = parts.map(String::as_str).collect();
                    found.push((name.join("::"), value.clone()));
                }
            }
        }
        words.clear();
    }
    found
}

/// The settings that say how archives are reached, as a configuration text for another root: how to
/// get through proxies, how often to try, what to trust. Programs and files they name are of this
/// machine, so settings that name one are left out.
pub(crate) fn reaching(settings: &[(String, String)]) -> String {
    const HOW: [&str; 4] = [
        "acquire::http::",
        "acquire::https::",
        "acquire::ftp::",
        "acquire::retries",
    ];
    let mut out = String::new();
    for (name, value) in settings {
        let lower = name.to_ascii_lowercase();
        let wanted = HOW.iter().any(|start| lower.starts_with(start));
        let of_this_machine = lower.contains("auto-detect") || value.starts_with('/');
        let plain = !value.contains(['"', '\\', '\n']) && !name.contains(['"', ' ', '\n']);
        if wanted && plain && !of_this_machine {
            out.push_str(name);
            out.push_str(" \"");
            out.push_str(value);
            out.push_str("\";\n");
        }
    }
    out
}

enum Token {
    Word(String),
    Open,
    Close,
    End,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '{' => out.push(Token::Open),
            '}' => out.push(Token::Close),
            ';' => out.push(Token::End),
            '"' => out.push(Token::Word(
                chars.by_ref().take_while(|c| *c != '"').collect(),
            )),
            '#' => skip_line(&mut chars),
            '/' if chars.peek() == Some(&'/') => skip_line(&mut chars),
            '/' if chars.peek() == Some(&'*') => {
                let mut last = ' ';
                for c in chars.by_ref() {
                    if last == '*' && c == '/' {
                        break;
                    }
                    last = c;
                }
            }
            first => {
                let mut word = String::from(first);
                while let Some(&c) = chars.peek() {
                    if c.is_whitespace() || matches!(c, '{' | '}' | ';' | '"') {
                        break;
                    }
                    word.push(c);
                    chars.next();
                }
                out.push(Token::Word(word));
            }
        }
    }
    out
}

fn skip_line(chars: &mut impl Iterator<Item = char>) {
    chars.find(|c| *c == '\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_only_ways_to_archives_are_kept() {
        let text = r#"
            // a comment "with quotes"
            Acquire::http::Proxy "http://proxy.example:3128"; # another
            Acquire { https { Proxy "DIRECT"; CaInfo "/etc/own.pem"; }; Retries "3"; };
            /* Acquire::http::Proxy "no"; */
            #clear APT::NeverAutoRemove;
            APT::NeverAutoRemove { "^firmware-linux.*"; };
            Acquire::http::Proxy-Auto-Detect "/usr/bin/find-proxy";
            DPkg::Post-Invoke { "rm -f /var/cache/apt/*.bin || true"; };
        "#;
        let settings = parse_apt_conf(text);
        assert!(settings.contains(&("Acquire::https::CaInfo".into(), "/etc/own.pem".into())));
        assert_eq!(
            reaching(&settings),
            "Acquire::http::Proxy \"http://proxy.example:3128\";\n\
             Acquire::https::Proxy \"DIRECT\";\nAcquire::Retries \"3\";\n"
        );
    }
}
