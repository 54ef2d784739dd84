# Sourced by shells: the `module` command of Lmod, wherever the distribution has it.
trap '' 1 2 3
if [ -n "${BASH_VERSION:-}" ]; then
    lmod_shell='bash'
elif [ -n "${KSH_VERSION:-}" ]; then
    lmod_shell='ksh'
elif [ -n "${ZSH_VERSION:-}" ]; then
    lmod_shell='zsh'
else
    lmod_shell='sh'
fi
if [ -d /usr/share/lmod ]; then
    for lmod_init in /usr/share/lmod/lmod/init/"$lmod_shell" /usr/share/lmod/*/init/"$lmod_shell"; do
        if [ -r "$lmod_init" ]; then
            # shellcheck source=/dev/null
            . "$lmod_init"
            break
        fi
    done
fi
unset lmod_shell lmod_init
trap - 1 2 3
