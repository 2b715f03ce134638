/// What the steps that put releases on hosts have in common there.
enum GitScript {
    /// Shell functions; `FLEET_PATH` is a work tree or a bare repository.
    ///
    /// `g` is git in it, deaf to hooks, prompts and helper programs that a repository could configure.
    static let functions = """
        fail() { printf '%s\\n' "$*"; exit 1; }
        case "$FLEET_PATH" in '~/'*) FLEET_PATH=$HOME/${FLEET_PATH#??} ;; esac
        FLEET_PATH=${FLEET_PATH%/}
        ssh=$(git -C "$FLEET_PATH" config core.sshCommand 2>/dev/null ||
            git config core.sshCommand 2>/dev/null || echo ssh)
        export GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=true GIT_SSH_COMMAND="$ssh -o BatchMode=yes" LC_ALL=C
        GIT_CEILING_DIRECTORIES=$(dirname "$FLEET_PATH") && export GIT_CEILING_DIRECTORIES
        quiet_git() {
            git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c protocol.ext.allow=never \\
                -c advice.detachedHead=false -c gc.auto=0 "$@"
        }
        free_index() {
            d=$(g rev-parse --absolute-git-dir) || return 0
            i=0
            while [ -e "$d/index.lock" ] && [ $i -lt 100 ]; do
                sleep 0.1 2>/dev/null || sleep 1
                i=$((i + 1))
            done
            [ -e "$d/index.lock" ] || return 0
            # Left by a git that was killed: taken away only where no git runs at all.
            for p in /proc/[0-9]*; do
                case $(readlink "$p/exe" 2>/dev/null) in
                */git | */git-*) fail "E_GIT_BUSY $d/index.lock belongs to a git that runs" ;;
                esac
            done
            rm -f "$d/index.lock"
            echo "removed $d/index.lock, which a git that ended had left"
        }
        g() { quiet_git -C "$FLEET_PATH" "$@"; }
        tag_object() {
            if [ "$(g rev-parse --verify --quiet refs/fleet/release^{commit})" = "$FLEET_COMMIT" ]
            then g rev-parse refs/fleet/release; else echo "$FLEET_COMMIT"; fi
        }
        holding() {
            g cat-file -e "$FLEET_COMMIT^{commit}" 2>/dev/null && { echo has; return; }
            # A shallow repository does not hold what its commits are built on.
            [ "$(g rev-parse --is-shallow-repository 2>/dev/null)" = false ] || return 0
            g rev-parse --verify --quiet HEAD
            g for-each-ref --count=1000 --sort=-creatordate --format='%(objectname)'
        }
        label() { g describe --tags --exact-match "$1" 2>/dev/null || printf %.12s "$1"; }

        """
}
