
# Lists have one thing a line, and nothing in them is a pattern.
set -f
IFS=$nl
if [ "$demand" = on ] || { [ "$demand" = files ] && [ ! -d "$image" ]; }; then
  stop "$image: the policy demands a digest, which a shell wrapper does not compare; install with --wrapper-style launcher"
fi

case $runtime in
auto | native) runtimes=apptainer${nl}singularity ;;
*) runtimes=$runtime ;;
esac
runtime=''
for name in $runtimes; do
  command -v "$name" >/dev/null 2>&1 && runtime=$name && break
done
[ -n "$runtime" ] || {
  echo 'neurodesk: error: found no runtime on `PATH`' >&2
  exit 127
}

# What follows goes before the command, last thing first.
set -- "$image" "$program" "$@"
cwd=$(pwd -P) && set -- --pwd "$cwd" "$@"
set +f
unset IFS
# Words divided on purpose, as upstream does.
# shellcheck disable=SC2086
set -- ${neurodesk_singularity_opts-} "$@"
set -f
IFS=$nl
for word in $options; do
  set -- "$word" "$@"
done
