package import FleetTransport

/// The text that turns a remote `sh -s` into the host's end of our protocol, and its requests.
///
/// The remote command is the constant `sh -s`: scripts, values and secrets go through standard
/// input only, which was byte-exact under bash, dash, zsh, fish, tcsh and rbash (measured), and
/// nothing shows in a process list. A step then costs one round trip. Everything before READY is
/// the login's noise. Success is a trailer that carries this session's nonce, never the status that
/// libssh2 reports: 1.10 and 1.11 report 0 when none arrived.
///
/// A detached step lives in a directory of its own, named by its key: making the directory twice
/// is impossible, so a step starts at most once. Its output is one file, so a stalled link cannot
/// block it; its status is on the disk before END is printed: END is news, `rc` is the truth, and
/// an empty `rc` is none. Creating `go` with O_EXCL (`set -C`) decides between whoever starts a step
/// and whoever finds that it never started.
///
/// Whose lock the host holds is looked at after the step's process id is written, and whoever breaks
/// a lock writes the owner first and looks for processes then: one of the two sees the other.
///
/// A host whose dead-man switch has fired (`fired` in the run directory) starts no step forward.
///
/// A silent step costs the host three processes: one for the directory, two for the step. Each one
/// more would be a millisecond of every step on every host.
///
/// sudo is `sudo -n` unless a password is known. It is sent for the first time only after sudo has
/// printed a prompt that carries a mark of ours, so to nobody but sudo; from then on the shell keeps it
/// and hands it over through a pipe, with a line behind it that tells where the script begins. A
/// rule that wants no password leaves it unread, and it is skipped, not run.
///
/// Only a process group that our shell, or the login shell above it, leads is ended as a whole: a
/// server that gives its commands no group of their own would end with them.
///
/// Processes that have ended and wait for an init that is slow to collect them are not alive: their
/// group still takes signals, so /proc is asked where there is one.
package enum HostShell {
    /// The remote command.
    package static let command = "sh -s"
    /// The longest wait for it to start, in milliseconds.
    package static let startMilliseconds = 15_000

    /// What every shell is told first.
    package static func prologue(nonce: String, rollout: String) -> [UInt8] {
        Array("fleet_nonce=\(nonce)\nfleet_dir=$HOME/.fleet/runs/\(rollout)\n".utf8) + core
    }

    /// What a shell is told before its first request about a detached step: most shells never
    /// see one, and these functions are most of the text.
    package static let detachedFunctions: [UInt8] = {
        let step = "fleet_step=" + ShellWord.quote(ShellText.text(PackageResources.step_sh)) + "\n"
        return Array((HostTools.setsid + ownScope + step).utf8)
            + ShellText.bytes(
                PackageResources.detached_sh,
                PackageResources.start_sh,
                PackageResources.rest_sh,
                PackageResources.size_sh,
                PackageResources.recover_sh,
                PackageResources.stop_sh,
                PackageResources.stop_group_sh
            )
    }()

    /// On this machine itself a step shall outlive whoever started fleet, which may be a service that the step restarts:
    /// systemd ends all that runs in a service's group of processes (systemd.kill(5)).
    ///
    /// systemd-run(1) makes a group of its own and then becomes the command.
    private static let ownScope = #"""
        if [ -n "${FLEET_OWN_SCOPE:-}" ] && [ -n "$fleet_setsid" ] && [ -d /run/systemd/system ]; then
            fleet_scope='systemd-run --scope --quiet --collect'
            [ "$(id -u)" = 0 ] || fleet_scope="$fleet_scope --user"
            if $fleet_scope -- true </dev/null >/dev/null 2>&1; then
                fleet_setsid="$fleet_scope -- $fleet_setsid"
            fi
        fi
        unset FLEET_OWN_SCOPE

        """#

    private static let core = ShellText.bytes(
        PackageResources.prologue_sh,
        PackageResources.ask_sudo_sh,
        PackageResources.hand_sh,
        PackageResources.run_sh,
        PackageResources.ready_sh
    )

    /// A command line that runs one script and says how it ended, with the words of the host's
    /// shell; nil if the script cannot stand on a command line.
    ///
    /// Saves the round trip after which a channel may be written to: sshd opens its window only
    /// once the command runs. Every login shell takes such a line apart alike: single quotes, and
    /// nothing in them that bash, fish or tcsh would still look at. Only for what a person typed on
    /// a command line already: a process list shows it, so no values and no secrets.
    package static func commandLine(running script: Script, id: String, mark: String) -> String? {
        let isPlain =
            script.environment.isEmpty && script.directory == nil && script.becomeUser == nil
            && script.text.utf8.count <= commandLineLimitBytes
            && script.text.utf8.allSatisfy { byte in
                (0x20...0x7E).contains(byte) && !"'\\!".utf8.contains(byte)
            }
        guard isPlain else { return nil }
        // What a process list shows cannot be what marks our lines: the host makes that up, and says it once.
        let frame =
            "g=$$; { read -r a a a a g a </proc/$$/stat; } 2>/dev/null; "
            + "case $g in $$|$PPID) ;; *) g=-;; esac; n=; { read -r n </proc/sys/kernel/random/uuid; } 2>/dev/null; "
            + "[ -n \"$n\" ] || n=$(od -An -N16 -tx1 /dev/urandom | tr -dc 0-9a-f); [ -n \"$n\" ] || exit 96; "
            + "cd; echo; echo \(mark) READY $g $n; echo; echo $n BEGIN \(id); "
            + "(unset n; eval \"$1\") </dev/null 2>&1; g=$?; echo; echo $n END \(id) $g 0"
        return "sh -c '\(frame)' fleet '\(script.text)'"
    }

    /// The longest script that is put on a command line, in bytes.
    private static let commandLineLimitBytes = 1_000

    /// One line for the host's shell, and whether it needs the functions for detached steps.
    package struct Request: Sendable {
        let line: String
        var needsDetachedFunctions = true

        /// No line at all: only reads on.
        static let none = Request(line: "", needsDetachedFunctions: false)
    }

    /// Runs a script attached.
    package static func attached(_ script: Script, id: String) -> Request {
        var request = request("fleet_run", id, script.becomeUser ?? "", script.shellText)
        request.needsDetachedFunctions = false
        return request
    }

    /// Runs a script detached.
    package static func detached(_ script: Script, key: ActionKey) -> Request {
        request(
            "fleet_start",
            key.description,
            script.becomeUser ?? "",
            script.shellText,
            script.lock?.environment ?? "",
            script.lock?.owner ?? ""
        )
    }

    /// Lets sudo ask for a password with a prompt of ours, and runs nothing.
    ///
    /// - Parameters:
    ///   - user: Whose password rule is asked for.
    ///   - mark: What marks the prompt, and nothing else: sudo's arguments show in a process list.
    /// - Returns: The request.
    package static func askSudo(_ user: String, mark: String) -> Request {
        var request = request("fleet_ask_sudo", sudoID, user, mark)
        request.needsDetachedFunctions = false
        return request
    }

    /// Gives a file of the login account to another one: the script takes it on standard input.
    package static func handOver(_ path: String, to script: Script, id: String) -> Request {
        var request = request("fleet_hand", id, script.becomeUser ?? "", path, script.streamText)
        request.needsDetachedFunctions = false
        return request
    }

    /// Names the question for sudo's password in the shell's answers.
    package static let sudoID = "sudo"

    /// Tells the shell a password, and for which accounts sudo has asked for it and taken it.
    ///
    /// Nobody else is sent it: where sudo leaves it unread, the account's own processes could read it.
    package static func knowing(_ password: String, for users: Set<String>) -> [UInt8] {
        let names = users.sorted().joined(separator: " ")
        return Array(
            "fleet_pw=\(ShellWord.quote(password))\nfleet_askers=\(ShellWord.quote(" \(names) "))\n"
                .utf8
        )
    }

    /// Waits for a detached script, printing its output from an offset.
    package static func recover(_ key: ActionKey, from offset: Int) -> Request {
        request("fleet_recover", key.description, String(offset + 1))
    }

    /// Prints a detached script's output from an offset.
    package static func rest(_ key: ActionKey, from offset: Int) -> Request {
        request("fleet_rest", key.description, String(offset + 1))
    }

    /// How much a detached script has printed so far.
    package static func size(_ key: ActionKey) -> Request { request("fleet_size", key.description) }

    /// Ends a detached script.
    package static func stop(_ key: ActionKey) -> Request { request("fleet_stop", key.description) }

    /// Ends a process group.
    package static func stopGroup(_ group: Int, becomeUser: String?) -> Request {
        request("fleet_stop_group", String(group), becomeUser ?? "")
    }

    /// Removes what detached scripts left.
    package static let clean = "rm -rf \"$fleet_dir\"; exit\n"

    private static func request(_ words: String...) -> Request {
        // The empty word must stay a word.
        let quoted = words.map { $0.isEmpty ? "''" : ShellWord.quote($0) }
        return Request(line: quoted.joined(separator: " ") + "\n")
    }
}
