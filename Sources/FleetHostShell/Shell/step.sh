# A detached step, in a session of its own: DIRECTORY USER BOOT UMASK SKIP OWNER-FILE OWNER.
# Leaves `pid`, `go`, `out` and, once it has ended, `rc` in its directory.
cd "$1" || exit 97
start=0
{ read -r _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ start _ </proc/$$/stat; } 2>/dev/null
echo "$$ $start $3 $2" >pid || exit 97
set -C
true >go || exit 97
if [ -e ../fired ]; then
    case ${1##*/} in f*)
        echo "the dead-man switch has fired: the host went back by itself" >out
        echo 98 >rc
        exit ;;
    esac
fi
if [ -n "$7" ]; then
    owner=
    { read -r owner <"$6"; } 2>/dev/null
    if [ "$owner" != "$7" ]; then
        echo "the lock of this host belongs to ${owner:-nobody}" >out
        # Whoever has the lock hears that it never started.
        mkdir never
        echo fenced >rc
        exit
    fi
fi
IFS= read -r pw
if [ -z "$2" ]; then (cd && umask "$4" && exec sh -s) <script >out 2>&1
elif [ -z "$pw" ]; then (cd && umask "$4" && exec sudo -n -u "$2" -- sh -s) <script >out 2>&1
else { echo "$pw"; echo .fleet.go.; cat script; } |
    (cd && umask "$4" && exec sudo -k -S -p "" -u "$2" -- sh -c "$5" fleet "exec sh -s") >out 2>&1
fi
echo $? >rc
