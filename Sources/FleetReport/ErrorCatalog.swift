/// One error code: why it appears, what it leaves unchanged, and what to do.
public struct ErrorCode: Sendable, Hashable, Encodable {
    /// What an error with this code leaves unchanged.
    public enum Scope: String, Sendable, Hashable, Encodable {
        /// The command does nothing.
        case command
        /// The host is looked at, and nothing is done on it.
        case preflight
        /// A step or a check has failed.
        case step
        /// The connection is gone; the host may still work.
        case connection
        /// The rollout itself cannot go on from here.
        case rollout

        /// The same as a sentence.
        public var sentence: String {
            switch self {
            case .command: "Nothing was changed on any host."
            case .preflight: "Nothing was changed on this host."
            case .step:
                "The step or check has failed. Hosts that were changed go back, stop or go on, as `on_failure` of the playbook says."
            case .connection:
                "Before the first step, nothing was changed on this host. Later, a step may still be running there: fleet asks the host for its result as soon as it answers, and names the host `unknown` until then."
            case .rollout:
                "Nothing more is done from this controller. What was done so far is in the journal and on the hosts."
            }
        }
    }

    /// The code, as messages begin with it.
    public let code: String
    /// What an error with this code leaves unchanged.
    public let scope: Scope
    /// Why it appears.
    public let cause: String
    /// What to do next.
    public let next: String

    init(_ code: String, _ scope: Scope, _ cause: String, _ next: String) {
        self.code = "E_" + code
        self.scope = scope
        self.cause = cause
        self.next = next
    }
}

/// Every error code that fleet prints.
public enum ErrorCatalog {
    /// The code that fleet has put in front of a message, or behind the name of a host or a step; nil if there is none.
    ///
    /// What stands further behind may be a host's own words.
    public static func code(in text: String) -> String? {
        var rest = text[...]
        for _ in 0..<2 {
            if rest.hasPrefix("E_") {
                let word = rest.prefix {
                    $0 == "_" || ($0.isASCII && ($0.isUppercase || $0.isNumber))
                }
                return entry(for: String(word)) == nil ? nil : String(word)
            }
            let isHosts = ["exited ", "no end within ", "was killed by "].contains {
                rest.hasPrefix($0)
            }
            guard !isHosts, let colon = rest.firstRange(of: ": ") else { return nil }
            rest = rest[colon.upperBound...]
        }
        return nil
    }

    /// The entry of a code, however it is typed; nil if there is no such code.
    public static func entry(for text: String) -> ErrorCode? {
        let name = text.uppercased()
        return entries.first { $0.code == name || $0.code == "E_" + name }
    }

    /// The codes that a mistyped one may mean: those that begin with the same letters, or contain them.
    public static func similar(to text: String) -> [String] {
        let name = text.uppercased()
        let letters = name.hasPrefix("E_") ? String(name.dropFirst(2)) : name
        guard letters.count > 1 else { return [] }
        let found = entries.map(\.code).filter { $0.contains(letters) }
        return found.isEmpty
            ? entries.map(\.code).filter { $0.hasPrefix("E_" + letters.prefix(2)) } : found
    }

    /// The entries, sorted by code.
    public static let entries: [ErrorCode] =
        (connections + hosts + checkouts + files + policies + releases + rollouts)
        .sorted { $0.code < $1.code }

    private static let connections = [
        ErrorCode(
            "DNS",
            .connection,
            "The host's name could not be resolved to an address.",
            "Check the name with `fleet hosts ENV --explain HOST` and `getent hosts NAME`."
        ),
        ErrorCode(
            "UNREACHABLE",
            .connection,
            "No connection to the host's address and port could be opened.",
            "Check address and port with `fleet hosts ENV --explain HOST`, and that sshd is running."
        ),
        ErrorCode(
            "TIMEOUT",
            .connection,
            "The host did not answer in time.",
            "Check the network and the load of the host, then run the command again, or `fleet resume`."
        ),
        ErrorCode(
            "LOST",
            .connection,
            "The connection ended while the host was working.",
            "If a rollout was interrupted, run `fleet resume`: it asks the host what became of the step."
        ),
        ErrorCode(
            "HOSTKEY_UNKNOWN",
            .connection,
            "No known_hosts file holds a key for this host.",
            "Compare the fingerprint with the host's own, then run `fleet trust ENV`."
        ),
        ErrorCode(
            "HOSTKEY_CHANGED",
            .connection,
            "The host shows another key than the one in known_hosts.",
            "If the host was rebuilt, remove the old line yourself and run `fleet trust ENV`; otherwise somebody may be between you and the host."
        ),
        ErrorCode(
            "HOSTKEY_REVOKED",
            .connection,
            "The host shows a key that known_hosts or RevokedHostKeys names as revoked.",
            "Give the host a new key, then run `fleet trust ENV`."
        ),
        ErrorCode(
            "HOSTKEY_CA",
            .connection,
            "The host is known by its certificate authority only, and this client cannot check certificates.",
            "Set `client: openssh` for the host, or add its own key to known_hosts."
        ),
        ErrorCode(
            "HOSTKEY_TYPE",
            .connection,
            "The known key is of a type that this client cannot ask for.",
            "Set `client: openssh` for the host, or run `fleet trust ENV` to add a key of another type."
        ),
        ErrorCode(
            "ALGO",
            .connection,
            "The client and the host have no algorithm in common.",
            "Set `client: openssh` for the host, or allow one of the algorithms that the message lists."
        ),
        ErrorCode(
            "AUTH",
            .connection,
            "The host accepted none of the keys and passwords that it was offered.",
            "Compare with `ssh -v HOST`; `fleet hosts ENV --explain HOST` says which keys are offered."
        ),
        ErrorCode(
            "CREDENTIAL",
            .connection,
            "A key, passphrase or password could not be used.",
            "Add the key to the agent (`ssh-add`), or name the place of its passphrase in the inventory."
        ),
        ErrorCode(
            "SHELL",
            .connection,
            "The login shell did not start the commands that it was sent.",
            "Look at what the message shows: usually a startup file such as .bashrc waits, prints or starts another shell."
        ),
        ErrorCode(
            "REFUSED",
            .connection,
            "The host refused to open a session or to run a command.",
            "Read the host's own words in the message, and its sshd log."
        ),
        ErrorCode(
            "SSH_CONFIG",
            .connection,
            "An ssh_config or known_hosts file, or a setting of the inventory, cannot be used.",
            "Correct the file and line that the message names; `fleet hosts ENV --explain HOST` shows where each value comes from."
        ),
        ErrorCode(
            "CLIENT",
            .connection,
            "The host needs something that only the other client can do.",
            "Set `client: openssh` for the host, or leave it `auto`."
        ),
        ErrorCode(
            "PROTO",
            .connection,
            "What answers on this port is no SSH server.",
            "Check the port with `fleet hosts ENV --explain HOST`."
        ),
        ErrorCode(
            "LOCAL_FILE",
            .preflight,
            "A file on this machine that is to be sent cannot be read.",
            "Correct the file that the message names."
        ),
        ErrorCode(
            "ANSWER",
            .step,
            "The host's answer is longer than fleet keeps, so it is not trusted.",
            "Look on the host for what makes the answer so long."
        ),
        ErrorCode(
            "FORWARDING",
            .preflight,
            "sshd lets no connection through to the port that a smoke test asks, and the host has no program that connects instead.",
            "Set `AllowTcpForwarding local` in sshd_config, or install python3, perl, bash or nc there."
        ),
        ErrorCode(
            "FACTS",
            .preflight,
            "More came than the preflight question prints: something else on the host writes to the same place.",
            "Look for output of startup files on the host."
        ),
    ]

    private static let hosts = [
        ErrorCode(
            "HOME",
            .preflight,
            "The account's home directory is missing, or a directory in it cannot be written to.",
            "Create it on the host, or correct its owner and mode."
        ),
        ErrorCode(
            "READONLY",
            .preflight,
            "The account cannot write to its home directory.",
            "Remount it for writing, or correct its owner and mode."
        ),
        ErrorCode(
            "DISK",
            .preflight,
            "Too little space is left on the host's disk.",
            "Free space there, then start again."
        ),
        ErrorCode(
            "SETSID",
            .preflight,
            "The host has none of setsid, busybox, perl and python3, so a step could not be ended for certain.",
            "Install util-linux or busybox there."
        ),
        ErrorCode(
            "SHARED_HOME",
            .preflight,
            "Two hosts of the inventory have the same home directory, or are one machine.",
            "Give each a home of its own, or name one of them only."
        ),
        ErrorCode(
            "DUPLICATE_HOST",
            .preflight,
            "Two names of the inventory are the same machine and account.",
            "Name each machine once in the inventory."
        ),
        ErrorCode(
            "CLOCK",
            .preflight,
            "The host's clock differs from this machine's by more than five minutes.",
            "Set the host's clock, for example with chrony or systemd-timesyncd."
        ),
        ErrorCode(
            "BUSY",
            .preflight,
            "A step of an earlier rollout is still running on the host.",
            "Wait for it, or end it on the host, then try again."
        ),
        ErrorCode(
            "LOCKED",
            .preflight,
            "Another rollout has locked the host.",
            "Wait for it (`--lock-wait 10m`), or see `fleet status ENV` and `fleet lock break ENV --reason REASON`."
        ),
        ErrorCode(
            "LOCK",
            .preflight,
            "The lock or its records could not be written on the host.",
            "Free space there, and check who may write to the account's home directory."
        ),
        ErrorCode(
            "CHANGED",
            .preflight,
            "The host changed between preflight and lock: another rollout was there.",
            "Start again: preflight looks at the host anew."
        ),
        ErrorCode(
            "STUCK",
            .command,
            "Processes of the broken lock's rollout did not end.",
            "End them on the host, then run `fleet lock break` again."
        ),
        ErrorCode(
            "SUDO",
            .preflight,
            "sudo does not let the account become another one.",
            "Add the rule that the message shows, or set a password source (`become_password`)."
        ),
        ErrorCode(
            "SHA256",
            .preflight,
            "The host has none of sha256sum, shasum and openssl, so files cannot be verified.",
            "Install coreutils there."
        ),
        ErrorCode(
            "UNHEALTHY",
            .preflight,
            "A smoke test failed before anything was touched, so it could prove nothing afterwards.",
            "Make the host healthy first, or leave it out with --limit."
        ),
        ErrorCode(
            "FENCED",
            .step,
            "Another rollout has taken this host over, so the host refuses this one's steps.",
            "See `fleet status ENV`: nothing more is done from here."
        ),
        ErrorCode(
            "SUPERSEDED",
            .rollout,
            "Another controller has taken this rollout up.",
            "Follow it there; `fleet history ENV` says who took it up."
        ),
        ErrorCode(
            "RECORDS",
            .preflight,
            "The host knows of records that this journal lacks: it comes from a backup or from another machine.",
            "Put the newest state directory back, or rebuild it with `fleet recover ENV`."
        ),
    ]

    private static let checkouts = [
        ErrorCode(
            "GIT_MISSING",
            .preflight,
            "git is not installed on the host.",
            "Install git there."
        ),
        ErrorCode(
            "TAR_MISSING",
            .preflight,
            "tar is not installed on the host.",
            "Install tar there."
        ),
        ErrorCode(
            "GIT_REPOSITORY",
            .preflight,
            "The path is not a git repository that this account can use.",
            "Read git's own words in the message; clone it there, or give `checkout` a `repository`."
        ),
        ErrorCode(
            "GIT_BUSY",
            .preflight,
            "A git operation in the work tree is unfinished or running.",
            "Finish or abort it on the host."
        ),
        ErrorCode(
            "DIRTY",
            .preflight,
            "The work tree has changes that nobody committed.",
            "Commit, stash or discard them, then deploy again."
        ),
        ErrorCode(
            "UNTRACKED",
            .preflight,
            "An untracked file is where the release has a file.",
            "Move it away on the host."
        ),
        ErrorCode(
            "UNWRITABLE",
            .preflight,
            "Files that will change are in directories that the account may not write to.",
            "Correct owner or mode on the host, then deploy again."
        ),
        ErrorCode(
            "REMOTE",
            .preflight,
            "The host could not list, fetch or clone the repository.",
            "Read git's own words in the message, and try the same `git ls-remote` on the host as this account."
        ),
        ErrorCode(
            "TAG_MISSING",
            .preflight,
            "The repository that the host sees does not hold the release.",
            "Push the tag, or check which repository the host uses."
        ),
        ErrorCode(
            "TAG_DIFFERS",
            .preflight,
            "On the host's remote the tag is another commit than in the plan.",
            "Find out which is right; a published tag must not move."
        ),
        ErrorCode(
            "TAG_MOVED",
            .preflight,
            "The tag is another commit than it was before.",
            "A published tag must not move: release a new version instead."
        ),
        ErrorCode(
            "SUBMODULES",
            .preflight,
            "The release has submodules, which `checkout` does not fetch.",
            "Vendor them, or fetch them in a step of your own."
        ),
        ErrorCode(
            "FILTER",
            .preflight,
            "Files of the release need a git filter that the host does not have, such as git-lfs.",
            "Install it there."
        ),
        ErrorCode(
            "HOST_CHANGED",
            .step,
            "The host runs another release than the one that this rollout saw.",
            "Find out who changed it, then deploy again."
        ),
        ErrorCode(
            "OTHER_RELEASE",
            .step,
            "The host runs neither what the rollout to undo left there nor what ran before.",
            "Say which release it should run: `fleet revert ENV --to TAG`."
        ),
        ErrorCode(
            "CHECKOUT",
            .step,
            "After the checkout, the files or the commit are not those of the release.",
            "Read which files the message names; something else writes there, or git could not replace them."
        ),
        ErrorCode(
            "TREE",
            .step,
            "After going back, the files are not what they were before.",
            "Read which files the message names, and put them back on the host."
        ),
        ErrorCode(
            "STASH",
            .step,
            "Local changes that were set aside do not apply any more.",
            "They are kept: see `git stash list` on the host."
        ),
        ErrorCode(
            "NO_PREVIOUS",
            .step,
            "There is no earlier release that the host could go back to.",
            "Deploy a release that is known to be good."
        ),
        ErrorCode(
            "LAYOUT",
            .preflight,
            "The directory is laid out by something other than `releases`.",
            "Give `releases` a directory of its own, or move away what the message names."
        ),
        ErrorCode(
            "RELEASE",
            .step,
            "The release's directory could not be made, or is not complete.",
            "Free space on the host and start again."
        ),
        ErrorCode(
            "BUNDLE",
            .preflight,
            "The commits that were sent did not arrive, or do not fit what the host has.",
            "Start again: the host is asked anew what it has."
        ),
    ]

    private static let files = [
        ErrorCode(
            "UPLOAD",
            .step,
            "A file could not be put in place, or is not what was sent.",
            "Read the reason in the message, and correct it on the host."
        ),
        ErrorCode(
            "MODE",
            .step,
            "Others may read or write the file by now: a later step has opened it.",
            "Correct the later step, or the mode of the upload."
        ),
        ErrorCode(
            "LINK",
            .step,
            "A path leads through a link that another account owns, which a step of this account does not follow.",
            "Name the real path, or let root own the link and its directory."
        ),
        ErrorCode(
            "ENV_KEY",
            .command,
            "The .env file lacks keys that its example has.",
            "Add them to the file that the message names."
        ),
        ErrorCode(
            "SERVICE",
            .step,
            "The service is not there, does not run or does not stay up.",
            "See `systemctl status UNIT` and `journalctl -u UNIT` on the host."
        ),
        ErrorCode(
            "PROCESS",
            .step,
            "A process of the service was started before the files of this release were there.",
            "Restart the service in a step, or name its unit in the playbook."
        ),
        ErrorCode(
            "NO_DATABASE",
            .step,
            "There is no database at this path.",
            "Correct the path in the playbook."
        ),
        ErrorCode(
            "DATABASE",
            .step,
            "The database cannot be read well enough to compare it with a backup.",
            "Run the command that the message shows on the host, as the same account."
        ),
        ErrorCode(
            "SQLITE",
            .preflight,
            "Neither sqlite3 nor python3 with its module is installed on the host.",
            "Install one of them there."
        ),
        ErrorCode(
            "BACKUP",
            .step,
            "The backup could not be made, or is not sound.",
            "Read the reason in the message; nothing was replaced."
        ),
        ErrorCode(
            "NO_BACKUP",
            .step,
            "There is no such backup.",
            "List the backup directory on the host, and name one with `--from`."
        ),
        ErrorCode(
            "BACKUP_CORRUPT",
            .step,
            "The backup cannot be unpacked, or is not what was backed up.",
            "Take another one: `fleet restore ENV --from NAME`."
        ),
        ErrorCode(
            "SCHEMA_NEWER",
            .step,
            "The backup's schema is newer than that of the release that runs.",
            "Deploy its release first."
        ),
        ErrorCode(
            "IN_USE",
            .step,
            "A process has the database open.",
            "Stop the service before the restore."
        ),
        ErrorCode(
            "RESTORE",
            .step,
            "The backup could not be put in place.",
            "The message says where the database of before is kept."
        ),
    ]

    private static let policies = [
        ErrorCode(
            "UNTRUSTED",
            .command,
            "The project's files would run, read or trust something on this machine that nobody has agreed to.",
            "Look at the list with `fleet trust --files`, and agree to it there."
        ),
        ErrorCode(
            "FROZEN",
            .command,
            "The environment's policy does not allow rollouts at this time.",
            "Wait until it is open. In an emergency: `fleet hotfix ENV --tag TAG --reason REASON`."
        ),
        ErrorCode(
            "TIME_ZONE",
            .command,
            "Nobody can tell whether the environment is open, because its time zone is not known here.",
            "Install tzdata, or correct the zone's name in the inventory."
        ),
        ErrorCode(
            "NOT_STAGED",
            .command,
            "The release has not succeeded on staging, or not with the smoke tests that count.",
            "Deploy it to staging first."
        ),
        ErrorCode(
            "NOT_SIGNED",
            .command,
            "The release's tag has no signature that can be verified.",
            "Deploy a signed tag: `fleet release --sign`."
        ),
        ErrorCode(
            "SIGNER",
            .command,
            "The release's tag is signed by somebody who is not among the policy's `signers`.",
            "Have it signed by one of them."
        ),
        ErrorCode(
            "NOT_APPROVED",
            .command,
            "Nobody has approved this release for the environment.",
            "Ask somebody to run `fleet approve TAG ENV --note NOTE`."
        ),
        ErrorCode(
            "APPROVAL_WITHDRAWN",
            .command,
            "The approval was taken back.",
            "Ask the approver for the reason, and for a new approval."
        ),
        ErrorCode(
            "APPROVAL_EXPIRED",
            .command,
            "The approval is too old.",
            "Ask for a new one: `fleet approve TAG ENV --note NOTE`."
        ),
        ErrorCode(
            "APPROVAL_FUTURE",
            .command,
            "The approval carries a time that has not come yet: a clock was or is wrong.",
            "Correct the clocks, and ask for a new approval."
        ),
        ErrorCode(
            "APPROVED_OTHER",
            .command,
            "The approval is for other hosts, steps or values than this plan has.",
            "Ask for an approval of exactly this: `fleet approve TAG ENV --note NOTE`."
        ),
        ErrorCode(
            "AUTHOR_UNKNOWN",
            .command,
            "Nobody can tell who made the release, and its approver must be somebody else.",
            "Run fleet in a clone of the repository that has the release."
        ),
        ErrorCode(
            "APPROVER_UNKNOWN",
            .command,
            "Nobody can tell who the approver is among the release's authors.",
            "Approve in the project's clone, with git's user.email set."
        ),
        ErrorCode(
            "OWN_APPROVAL",
            .command,
            "The release was approved by somebody who made it.",
            "Ask somebody else to approve it, in a clone of theirs."
        ),
        ErrorCode(
            "QUARANTINE",
            .command,
            "The release was taken back before.",
            "Release a new version, or give a reason with --force-quarantined."
        ),
        ErrorCode(
            "HOTFIX_LOST",
            .command,
            "The environment runs a hotfix that this release does not contain.",
            "Bring the fix to the branch that releases are made from, and release again."
        ),
    ]

    private static let releases = [
        ErrorCode("TAG_EXISTS", .command, "The tag exists already.", "Choose the next version."),
        ErrorCode(
            "TAGGED",
            .command,
            "The commit already has a version.",
            "Deploy that one, or commit first."
        ),
        ErrorCode(
            "VERSION_FORM",
            .command,
            "The version is not one that the next could be counted from.",
            "Write three numbers, as in v1.4.0."
        ),
        ErrorCode(
            "VERSION_LOWER",
            .command,
            "The version is not higher than the newest one.",
            "Choose a higher version."
        ),
        ErrorCode(
            "PARTLY_PUBLISHED",
            .command,
            "The push ended in error, and the tag may have reached the remote.",
            "See `git ls-remote --tags REMOTE`, then run the command that the message shows."
        ),
        ErrorCode(
            "SHALLOW",
            .command,
            "The clone does not have the whole history.",
            "Run `git fetch --unshallow --tags`."
        ),
        ErrorCode(
            "BRANCH",
            .command,
            "Another branch than the release branch is checked out.",
            "Check the release branch out, or name it with --branch."
        ),
        ErrorCode(
            "NOT_PUSHED",
            .command,
            "The branch here and on the remote are not the same commit.",
            "Push or pull first."
        ),
        ErrorCode(
            "CI",
            .command,
            "The command that asks for CI's result says no, or cannot be run.",
            "Wait until CI is green, or correct --ci-status."
        ),
    ]

    private static let rollouts = [
        ErrorCode(
            "JOURNAL",
            .rollout,
            "The disk of the state directory is full: on the reserve, hosts only go back.",
            "Free space there, then run `fleet resume`."
        ),
        ErrorCode(
            "CORRUPT",
            .command,
            "A rollout's records do not fit its plan.",
            "Run `fleet journal verify ENV`; put a good copy of the state directory back."
        ),
        ErrorCode(
            "PLAN",
            .step,
            "The plan lacks functions that a script needs.",
            "Plan again; if it comes back, report it."
        ),
        ErrorCode(
            "STALE",
            .command,
            "What would be done has changed since it was saved.",
            "Save it again with `--dry-run --save FILE`, and have it reviewed again."
        ),
        ErrorCode(
            "PROJECT",
            .command,
            "The server cannot read the repository that its project is in, and plans nothing with older files.",
            "The message has git's words: mend the address, the login or the branch; the page Project says when it is read again."
        ),
        ErrorCode(
            "NOTHING",
            .command,
            "Going back would change nothing: the hosts ran the same before.",
            "Name a release: `fleet revert ENV --to TAG`."
        ),
    ]
}
