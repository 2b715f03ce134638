public import FleetInventory
internal import FleetPlan
public import FleetRollout
public import FleetTransport

/// Looks at hosts without changing anything.
public struct HostExamination: Sendable {
    /// How many hosts are asked at a time.
    private static let width = 64
    /// The longest a host may take to answer, in milliseconds.
    private static let questionMilliseconds = 30_000
    /// A clock that is off by less is nothing to speak of, in seconds.
    private static let clockTolerance = 5
    /// With more, preflight refuses the host, in seconds (RolloutLimits).
    private static let clockLimit = 300

    private let transport: any Transport
    private let environment: String
    private let clock: any RolloutClock

    /// Prepares to look.
    ///
    /// - Parameters:
    ///   - transport: What reaches the hosts.
    ///   - environment: The environment, whose lock is looked at.
    ///   - clock: What times the logins.
    public init(transport: any Transport, environment: String, clock: any RolloutClock) {
        self.transport = transport
        self.environment = environment
        self.clock = clock
    }

    /// Asks hosts, many at a time; the answers are in the hosts' order.
    public func findings(of hosts: [Host]) async -> [HostFindings] {
        await hosts.windowed(Self.width) { await examine($0) }
    }

    private func examine(_ host: Host) async -> HostFindings {
        var findings = HostFindings(host: host.name.text)
        do throws(TransportError) {
            let start = clock.milliseconds
            let session = try await transport.open(host.endpoint, rollout: "doctor")
            findings.client = session.client
            findings.hostKey = await session.hostKey
            let output = WholeAnswer()
            let asked = clock.unixMilliseconds / 1000
            let result = try await session.run(
                Script(Self.question),
                timeoutMilliseconds: Self.questionMilliseconds,
                output: output
            )
            findings.loginMilliseconds = clock.milliseconds - start
            let answered = clock.unixMilliseconds / 1000 + 1
            findings.facts = Snapshot.facts(from: try output.text())
            if result.status != .exited(0) {
                findings.problems.append(
                    .init(
                        text: "its shell \(result.status.phrase): \(output.tail(lines: 5))",
                        fix: nil,
                        isFatal: true
                    )
                )
            }
            if let time = findings.facts.removeValue(forKey: "time").flatMap({ Int($0) }) {
                findings.clockSkewSeconds = time - min(max(time, asked), answered)
            }
            judge(&findings)
            await lock(session, &findings)
            await session.close(removingRunDirectory: true)
        } catch {
            findings.problems.append(
                .init(text: "\(error.token) \(error.message)", fix: error.hint, isFatal: true)
            )
        }
        return findings
    }

    /// What preflight asks first: a home directory that can be written to, room, and nobody else's lock.
    private func lock(_ session: any HostSession, _ findings: inout HostFindings) async {
        let lock = HostLock(environment: environment, owner: "doctor", description: "doctor")
        let output = WholeAnswer()
        do throws(TransportError) {
            let result = try await session.run(
                lock.question,
                timeoutMilliseconds: Self.questionMilliseconds,
                output: output
            )
            guard result.status != .exited(0) else { return }
            let failure = HostWorker.refusal(of: "lock", result.status, output)
            findings.problems.append(
                .init(text: failure.summary, fix: failure.hint, isFatal: true)
            )
        } catch {
            findings.problems.append(
                .init(text: "\(error.token) \(error.message)", fix: error.hint, isFatal: true)
            )
        }
    }

    private func judge(_ findings: inout HostFindings) {
        let facts = findings.facts
        func add(_ text: String, _ fix: String?, isFatal: Bool = false) {
            findings.problems.append(.init(text: text, fix: fix, isFatal: isFatal))
        }
        if let skew = findings.clockSkewSeconds, abs(skew) > Self.clockTolerance {
            add(
                "its clock is \(abs(skew)) s \(skew > 0 ? "ahead of" : "behind") this machine's",
                "set the clock there, or here (`chronyc tracking`, `timedatectl`)",
                isFatal: abs(skew) > Self.clockLimit
            )
        }
        if facts["git"] == nil {
            add("there is no git, which `checkout` steps need", "install git on the host")
        }
        if facts["kill_user_processes"] == "true", facts["linger"] == "no" {
            add(
                "logind ends what an account has started when its last session ends "
                    + "(KillUserProcesses=yes): a step would die with a lost connection",
                "`loginctl enable-linger \(facts["account"] ?? "ACCOUNT")` there"
            )
        }
    }

    /// Plumbing only, and nothing that waits or asks: what cannot be told is left out.
    private static let question = #"""
        echo "system=$(uname -s) $(uname -r)"
        a=$(id -un 2>/dev/null || id -u)
        echo "account=$a"
        echo "time=$(date +%s)"
        { read -r _; read -r _ _ _ k _; } <<END
        $(df -Pk "$HOME" 2>/dev/null)
        END
        case $k in '' | *[!0-9]*) ;; *) echo "free_kib=$k" ;; esac
        g=$(git --version 2>/dev/null) && echo "git=${g#git version }"
        if [ "$(id -u)" = 0 ]; then echo sudo=root
        elif ! command -v sudo >/dev/null 2>&1; then echo sudo=missing
        elif sudo -n true >/dev/null 2>&1; then echo sudo=yes
        else echo sudo=asks
        fi
        if [ -d /run/systemd/system ]; then
            l=$(loginctl show-user "$a" --property=Linger --value 2>/dev/null) || l=no
            if [ -e "/var/lib/systemd/linger/$a" ]; then l=yes; fi
            echo "linger=${l:-no}"
            b=$(busctl get-property org.freedesktop.login1 /org/freedesktop/login1 \
                org.freedesktop.login1.Manager KillUserProcesses 2>/dev/null) &&
                echo "kill_user_processes=${b#b }"
        fi
        :
        """#
}
