internal import FleetDigest
public import FleetRollout
public import FleetTransport

/// A host's lock for one environment, as scripts: in `~/.fleet/locks/ENVIRONMENT` of the login
/// account.
///
/// `owner` holds the owner's name, who that is, and since when. It is written complete under another
/// name and claimed with `ln`, which is atomic and never leaves it without an owner. `generation`
/// counts how often the lock was given back or broken: a host whose number is not that of preflight
/// has been changed since by somebody else.
///
/// Behind the owner's name stands the controller's epoch, `NUMBER.MARK`, once a rollout was taken up again; the one
/// that began it has none, as fleets wrote it that knew of no epochs. A host lets a higher number follow a lower one,
/// never the other way round, and every step asks for the whole line: so a controller that was thought dead can start
/// nothing any more on a host that its successor has been to.
public struct HostLock: Sendable {
    let environment: String
    /// The rollout.
    let owner: String
    /// Which of its controllers.
    let epoch: ControllerEpoch
    /// Who that is, for people.
    let description: String
    /// A rollout whose lock may be taken over.
    let adopts: String?
    /// The host, by which one that has the same home directory is told from it; empty for no question.
    let host: String

    /// Describes a lock and who wants it.
    ///
    /// - Parameters:
    ///   - environment: The environment; a safe file name.
    ///   - owner: The rollout that wants it; a safe file name.
    ///   - description: Who that is, for people.
    ///   - adopts: A rollout whose lock may be taken over.
    ///   - epoch: Which of the rollout's controllers wants it.
    ///   - host: The host's name; empty for a lock that steps do not depend on.
    public init(
        environment: String,
        owner: String,
        description: String,
        adopts: String? = nil,
        epoch: ControllerEpoch = .first,
        host: String = ""
    ) {
        self.epoch = epoch
        self.host = host
        self.environment = environment
        self.owner = owner
        self.description = description
        self.adopts = adopts
    }

    /// The texts of `Shell/`, put together once.
    private enum Text {
        static let lock = ShellText.text(PackageResources.lock_sh)
        static let question = HostTools.setsid + ShellText.text(PackageResources.question_sh)
        static let taking = ShellText.text(PackageResources.taking_sh)
        static let takingUp = ShellText.text(PackageResources.taking_up_sh)
        static let giving = ShellText.text(PackageResources.giving_sh)
        static let records = ShellText.text(PackageResources.records_sh)
        static let ledger = RunDirectory.ours + ShellText.text(PackageResources.ledger_sh)
        static let status = RunDirectory.ours + ShellText.text(PackageResources.status_sh)
        static let breaking = RunDirectory.ours + ShellText.text(PackageResources.breaking_sh)
    }

    private func script(_ text: String, _ more: [EnvironmentVariable] = []) -> Script {
        Script(
            Text.lock + text,
            environment: [
                EnvironmentVariable("FLEET_ADOPTS", adopts ?? ""),
                EnvironmentVariable("FLEET_ENVIRONMENT", environment),
                EnvironmentVariable(
                    "FLEET_EPOCH",
                    epoch == .first ? "" : "\(epoch.number).\(epoch.mark)"
                ),
                EnvironmentVariable("FLEET_OWNER", owner),
                EnvironmentVariable("FLEET_WHO", description),
                EnvironmentVariable("FLEET_LOCK_HOST", host),
            ] + more
        )
    }

    /// Read-only: refuses a host that is another's, or has no room to record what happens on it, and
    /// tells the generation, what tells this host from others, and of which record it was told last.
    var question: Script {
        script(Text.question)
    }

    /// Takes the lock if nobody has, or has changed the host since preflight; taking it twice is
    /// taking it once.
    ///
    /// - Parameters:
    ///   - generation: What preflight found; nil if nothing was asked before.
    ///   - witness: Where the journal is, to be kept on the host; empty for nothing.
    ///   - record: What the host keeps until the rollout has come to its end.
    /// - Returns: A script for the login account.
    public func taking(
        generation: String?,
        witness: String = "",
        record: HostRecord? = nil
    ) -> Script {
        script(
            Text.taking,
            [
                EnvironmentVariable("FLEET_GENERATION", generation ?? ""),
                EnvironmentVariable("FLEET_WITNESS", witness),
                EnvironmentVariable(
                    "FLEET_RECORD",
                    record.map { String(decoding: CanonicalJSON.encode($0), as: UTF8.self) } ?? "",
                    isExported: false
                ),
            ]
        )
    }

    /// Read-only: what the host has kept of rollouts of this environment that it holds no end of.
    ///
    /// A line `record ROLLOUT JSON` for each, then `step ROLLOUT KEY STATUS` with an empty status for
    /// what has no result; and `epoch ROLLOUT NUMBER` for the controller that the host obeys.
    public var records: Script {
        script(Text.records)
    }

    /// Gives the lock back if it is ours.
    ///
    /// - Parameter witness: Where the journal is, to be kept on the host; empty for nothing.
    /// - Returns: A script for the login account.
    public func giving(witness: String = "") -> Script {
        script(
            Text.giving,
            [EnvironmentVariable("FLEET_WITNESS", witness)]
        )
    }

    /// Makes the host obey this controller of the rollout, and none of those before it, if the lock is the rollout's;
    /// doing it twice is doing it once.
    ///
    /// A lock that is free, or somebody else's, stays as it is: a step finds that out by itself. Prints `step KEY` for
    /// every attempt at a step of the rollout that the host knows of.
    public var takingUp: Script {
        script(Text.takingUp)
    }

    /// Read-only: everything that fleet has left on the host, as `name=value` lines.
    ///
    /// `owner`, `who`, `since` of the lock; `witness`, where the journal was that changed the host
    /// last; `running=ROLLOUT/KEY` for every step that still runs, `unended=ROLLOUT/KEY` for every one
    /// that has no result and does not run, `armed=ROLLOUT` for a dead-man switch, `unwatched=ROLLOUT` for
    /// one that nobody waits at any more: it will not fire.
    public var ledger: Script {
        script(Text.ledger)
    }

    /// Read-only: prints `owner=`, `who=`, `since=`; no owner if it is free.
    public var status: Script {
        script(Text.status)
    }

    /// Takes the lock from a known owner, ends what still runs of theirs, and frees it.
    ///
    /// From the first write on, the host refuses every further step of theirs.
    public func breaking(_ known: String) -> Script {
        script(
            Text.breaking,
            [EnvironmentVariable("FLEET_KNOWN", known)]
        )
    }
}
