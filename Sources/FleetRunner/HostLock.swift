internal import FleetDigest
public import FleetRollout
public import FleetTransport

/// The scripts for a host's lock, which is kept in `~/.fleet/locks/ENVIRONMENT` of the login account.
///
/// The file `owner` holds the owner's name, a description of the owner, and the time of locking. It is written
/// completely under another name and then linked with `ln`, which is atomic, so the lock never exists without an
/// owner. The file `generation` counts how often the lock was released or broken: if its number differs from the one
/// that preflight found, somebody else has changed the host since.
///
/// Once a rollout was resumed, the owner's name is followed by the controller's epoch, `NUMBER.MARK`. The controller
/// that began the rollout has none, as in older versions of fleet. A host lets a higher number replace a lower one,
/// never the reverse, and every step requires the whole line. A controller that was wrongly believed dead can
/// therefore start nothing on a host that its successor has reached.
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

    /// Creates the scripts for one owner of a lock.
    ///
    /// - Parameters:
    ///   - environment: The environment; a safe file name.
    ///   - owner: The rollout that requests the lock; a safe file name.
    ///   - description: A description of the owner, for people.
    ///   - adopts: A rollout whose lock may be taken over; nil for none.
    ///   - epoch: The controller of the rollout that requests the lock.
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
        static let steps = ShellText.text(PackageResources.steps_sh)
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

    /// A script that takes the lock if it is free and nobody has changed the host since preflight.
    ///
    /// Taking a lock that is already held by the same owner succeeds.
    ///
    /// - Parameters:
    ///   - generation: The generation that preflight found; nil if no preflight was made.
    ///   - witness: The journal's head, to be stored on the host; empty for none.
    ///   - record: The record that the host keeps until the rollout has ended.
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

    /// A read-only script that prints what the host keeps of rollouts that have not ended as far as it knows.
    ///
    /// It prints a line `record ROLLOUT JSON` for each of these rollouts of the environment, then
    /// `step ROLLOUT KEY STATUS` for each step, with an empty status if there is no result, and `epoch ROLLOUT NUMBER`
    /// for the controller that the host obeys.
    public var records: Script {
        script(Text.records)
    }

    /// A script that releases the lock if this owner holds it.
    ///
    /// - Parameter witness: The journal's head, to be stored on the host; empty for none.
    /// - Returns: A script for the login account.
    public func giving(witness: String = "") -> Script {
        script(
            Text.giving,
            [EnvironmentVariable("FLEET_WITNESS", witness)]
        )
    }

    /// Returns a read-only script that prints `step KEY` for every attempt at a step of the rollout that the host knows
    /// of; it fails with `E_SUPERSEDED` if the host obeys a later controller.
    public var steps: Script { script(Text.steps) }

    /// Returns a script that makes the host obey this controller of the rollout, and no earlier one, if the rollout
    /// owns the lock; it may be repeated.
    ///
    /// A lock that is free, or somebody else's, stays as it is: a step finds that out by itself.
    public var takingUp: Script {
        script(Text.takingUp)
    }

    /// A read-only script that prints everything that fleet left on the host, as `name=value` lines.
    ///
    /// - `owner`, `who` and `since` describe the lock.
    /// - `witness` is the head of the journal that last changed the host.
    /// - `running=ROLLOUT/KEY` names a step that still runs.
    /// - `unended=ROLLOUT/KEY` names a step that does not run and has no result.
    /// - `armed=ROLLOUT` names a rollout whose dead-man switch is armed.
    /// - `unwatched=ROLLOUT` names one whose dead-man switch will not fire, because its waiting process is gone.
    public var ledger: Script {
        script(Text.ledger)
    }

    /// A read-only script that prints `owner=`, `who=` and `since=`; the owner is empty if the lock is free.
    public var status: Script {
        script(Text.status)
    }

    /// A script that takes the lock from a known owner, ends the owner's running steps, and releases the lock.
    ///
    /// From its first write on, the host refuses every further step of that owner.
    public func breaking(_ known: String) -> Script {
        script(
            Text.breaking,
            [EnvironmentVariable("FLEET_KNOWN", known)]
        )
    }
}
