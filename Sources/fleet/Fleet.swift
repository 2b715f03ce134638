import ArgumentParser
import CMalloc
import FleetOperations
import FleetReport
import FleetRollout
import FleetSSH
import FleetTerminal
import FleetYAML
import Glibc
import Synchronization

/// The program's version.
enum FleetVersion {
    static let number = "0.1.0"

    /// The version and those of the libraries that decide what is possible.
    static var text: String {
        """
        fleet \(number)
        libssh2 \(LibSSH2.version)
        \(LibSSH2.openSSLVersion)
        SQLite \(Controller.sqliteVersion)
        """
    }
}

/// The command line: every verb, and what they share.
struct Fleet: AsyncParsableCommand {
    /// The program's name.
    static let name = "fleet"

    static let configuration = CommandConfiguration(
        commandName: name,
        abstract:
            "Deploys releases to many hosts over SSH, and puts every host back when it is bad.",
        discussion: """
            fleet deploy production --tag v1.2.0    deploy, test, and go back if it is bad
            fleet status production                 what every host really runs
            fleet exec production -- uptime         one command on every host

            A project is a directory with inventory/ENV.yml and playbooks/NAME.yml.
            """,
        subcommands: [
            ReleaseCommand.self, ReleasesCommand.self, DeployCommand.self, ApproveCommand.self,
            PromoteCommand.self, HotfixCommand.self,
            BackupCommand.self, RestoreCommand.self, RunCommand.self, ExecCommand.self,
            RevertCommand.self,
            StopCommand.self, ResumeCommand.self, ReconcileCommand.self, RecoverCommand.self,
            LockCommand.self, JournalCommand.self,
            PlanCommand.self, DiffCommand.self, ApplyCommand.self, CheckCommand.self,
            HostsCommand.self,
            StatusCommand.self,
            HealthCommand.self,
            HistoryCommand.self, StatsCommand.self, AuditCommand.self, ShowCommand.self,
            ReportCommand.self,
            EventsCommand.self, WatchCommand.self, ServeCommand.self,
            FetchCommand.self,
            TrustCommand.self,
            DoctorCommand.self, ExplainCommand.self,
        ]
    )

    @Flag(
        name: .customLong("version"),
        help: "Show the version, and those of the libraries in use."
    )
    var showsVersion = false

    /// The command that a first argument names.
    static func verb(named name: String?) -> (any ParsableCommand.Type)? {
        configuration.subcommands.first { $0.configuration.commandName == name }
    }

    func run() async throws {
        guard showsVersion else {
            throw CleanExit.helpRequest(self)
        }
        print(FleetVersion.text)
    }
}

@main
enum Main {
    static func main() async {
        openStandardStreams()
        // A reader that goes away must not end a rollout.
        signal(SIGPIPE, SIG_IGN)
        signal(SIGHUP, SIG_IGN)
        raiseDescriptorLimit()
        shareMemory()
        LibSSH2.stayUntilTheEnd()
        if CISystem.named(by: Surroundings.variable) == .github { Terminal.guardCommands() }
        var arguments = ProgramArguments.all
        // A verb reads its own arguments: what would be tried for every other verb on the way from
        // the root cost a tenth of a short run (measured).
        var root: any ParsableCommand.Type = Fleet.self
        if let verb = Fleet.verb(named: arguments.first) {
            root = verb
            arguments.removeFirst()
        } else if let word = arguments.first, !word.hasPrefix("-"), word != "help" {
            leave(unknown(word))
        }
        do {
            var command = try root.parseAsRoot(arguments)
            ProgramArguments.hide(variablesOf: command)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            try requireOutput()
        } catch let failure as OperationFailure {
            leave(failure)
        } catch let status as ExitStatus {
            exit(status.rawValue)
        } catch {
            if let failure = OperationFailure(of: error) { leave(failure) }
            FailureText.tell(
                root.message(for: error),
                root.exitCode(for: error).rawValue,
                arguments: ProgramArguments.all
            )
            root.exit(withError: error)
        }
    }

    private static func unknown(_ word: String) -> OperationFailure {
        let names = Fleet.configuration.subcommands.compactMap { $0.configuration.commandName }
        return OperationFailure(
            .usage,
            "`\(Sanitizer.line(word))` is no command of fleet",
            hints: Suggestion.hint(for: word, in: names) + ["`fleet --help` lists them"]
        )
    }

    private static func leave(_ failure: OperationFailure) -> Never {
        FailureText.tell(failure)
        exit(failure.status.rawValue)
    }

    /// A stream that nobody gave us would be the next file that is opened: the journal's, or a socket.
    private static func openStandardStreams() {
        for descriptor in STDIN_FILENO...STDERR_FILENO
        where fcntl(descriptor, F_GETFD) < 0 && errno == EBADF {
            // The lowest free number is this one.
            _ = open("/dev/null", O_RDWR)
        }
    }

    /// A result that could not be written is none.
    private static func requireOutput() throws(OperationFailure) {
        let code = Terminal.outputFailure.withLock { $0 }
        guard code != 0 else { return }
        throw OperationFailure(
            .journal,
            "standard output could not be written: \(String(cString: strerror(code)))"
        )
    }

    /// One heap for all threads, which keeps what it was given.
    ///
    /// glibc gives each thread a heap of its own otherwise and asks the kernel for every page of it, ten
    /// times for every host: 4 % of a run over 100 hosts (measured). Buffers below 4 MiB are taken from it,
    /// and up to 16 MiB that are free stay in it. Another malloc, such as a sanitizer's, may decline.
    private static func shareMemory() {
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, 4 << 20)
        mallopt(M_TRIM_THRESHOLD, 16 << 20)
    }

    /// A connection is a descriptor; the soft limit is often 1024.
    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}

extension ExitStatus: Error {}
