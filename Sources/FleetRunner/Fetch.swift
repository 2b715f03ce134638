public import FleetInventory
public import FleetTransport
internal import Glibc

/// Fetches a file or directory from many hosts; each transfer is complete and verified, or leaves nothing behind.
public struct Fetch: Sendable {
    /// The result of fetching from one host.
    public enum Outcome: Sendable, Hashable {
        /// The file was fetched to this local path.
        case fetched(path: String, bytes: Int)
        /// The file was not fetched, and nothing was left on this machine.
        case failed(reason: String, hint: String?)
    }

    /// The scripts that are run on a host.
    public struct Scripts: Sendable {
        /// Prints `file SIZE SHA256`, `directory`, or why the path is neither.
        public let question: Script
        /// Writes the file to standard output.
        public let file: Script
        /// Writes the directory to standard output, as a tar archive.
        public let directory: Script

        /// Names the three.
        public init(question: Script, file: Script, directory: Script) {
            self.question = question
            self.file = file
            self.directory = directory
        }
    }

    private let transport: any Transport
    private let fanout: Int
    private let timeoutMilliseconds: Int

    /// Prepares transfers, a bounded number at a time.
    public init(transport: any Transport, fanout: Int, timeoutMilliseconds: Int) {
        self.transport = transport
        self.fanout = fanout
        self.timeoutMilliseconds = timeoutMilliseconds
    }

    /// Fetches a path from every host into `directory/HOST/`.
    ///
    /// A file keeps its name but loses its executable bit. A directory arrives as one tar archive, so that nothing a
    /// host sends can choose a local path.
    ///
    /// - Parameters:
    ///   - path: The file or directory on the hosts.
    ///   - hosts: The hosts.
    ///   - directory: The local directory in which one subdirectory is made for each host.
    ///   - scripts: The scripts that read the path on a host.
    ///   - progress: Called often, on any thread, with the progress of each host; it must not block.
    /// - Returns: The result for every host.
    public func fetch(
        _ path: String,
        from hosts: [Host],
        into directory: String,
        scripts: Scripts,
        progress: @escaping @Sendable (HostName, _ bytes: Int, _ total: Int) -> Void
    ) async -> [HostName: Outcome] {
        let executor = { (host: Host) in transport.executor(for: host.endpoint) }
        let outcomes = await hosts.windowed(fanout, on: executor) { host in
            let job = Job(
                host: host,
                path: path,
                directory: "\(directory)/\(host.name.text)",
                scripts: scripts,
                timeoutMilliseconds: timeoutMilliseconds
            )
            return (host.name, await job.run(transport) { progress(host.name, $0, $1) })
        }
        return Dictionary(outcomes) { $1 }
    }
}

/// One host's transfer.
private struct Job {
    let host: Host
    let path: String
    let directory: String
    let scripts: Fetch.Scripts
    let timeoutMilliseconds: Int

    func run(
        _ transport: any Transport,
        progress: @escaping @Sendable (_ bytes: Int, _ total: Int) -> Void
    ) async -> Fetch.Outcome {
        let session: any HostSession
        do throws(TransportError) {
            session = try await transport.open(host.endpoint, rollout: "fetch")
        } catch {
            return .failed(reason: "\(error.token): \(error.message)", hint: error.hint)
        }
        let outcome: Fetch.Outcome
        do throws(TransportError) {
            outcome = try await transfer(session, progress)
        } catch {
            outcome = .failed(reason: "\(error.token): \(error.message)", hint: error.hint)
        }
        await session.close(removingRunDirectory: false)
        return outcome
    }

    private func transfer(
        _ session: any HostSession,
        _ progress: @escaping @Sendable (_ bytes: Int, _ total: Int) -> Void
    ) async throws(TransportError) -> Fetch.Outcome {
        let answer = OutputCapture()
        let found = try await session.run(
            scripts.question,
            timeoutMilliseconds: timeoutMilliseconds,
            output: answer
        )
        let words = answer.tail(lines: 1).split(separator: " ").map(String.init)
        guard found.status == .exited(0), let kind = words.first else {
            return .failed(reason: answer.tail(lines: 3), hint: nil)
        }
        let isDirectory = kind == "directory"
        let size = words.count == 3 ? Int(words[1]) : nil
        guard isDirectory || size != nil else {
            return .failed(reason: "the host answered `\(words.joined(separator: " "))`", hint: nil)
        }
        let name = (path.split(separator: "/").last.map(String.init) ?? "root")
        guard !["", ".", "..", "~"].contains(name), ![".", ".."].contains(host.name.text),
            !host.name.text.contains("/")
        else { return .failed(reason: "`\(path)` does not name a file", hint: nil) }
        let end = name + (isDirectory ? ".tar" : "")
        let part = end + ".fleet-part"
        // A slow disk holds up none of the reactor's other hosts.
        // A host's directory that is a link was not made by us: whoever may push to the project may have put it here.
        let (folder, file, reason) = await SpoolQueue.shared.run { [directory] in
            mkdir(directory, 0o777)
            let folder = Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            guard folder >= 0 else { return (folder, Int32(-1), errno) }
            unlinkat(folder, part, 0)
            let file = openat(folder, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            let reason = errno
            if file < 0 { Glibc.close(folder) }
            return (folder, file, reason)
        }
        guard file >= 0 else {
            return local(folder < 0 ? directory : "\(directory)/\(part)", reason)
        }
        let outcome: Fetch.Outcome
        do throws(TransportError) {
            outcome = try await receive(
                session,
                Place(file: file, folder: folder, part: part, end: end),
                words,
                progress
            )
        } catch {
            outcome = .failed(reason: "\(error.token): \(error.message)", hint: error.hint)
        }
        await SpoolQueue.shared.run {
            Glibc.close(file)
            // Renamed when it was complete; otherwise nothing may be left of it.
            unlinkat(folder, part, 0)
            Glibc.close(folder)
        }
        return outcome
    }

    /// Where it is written.
    private struct Place {
        let file: Int32
        let folder: Int32
        let part: String
        let end: String
    }

    private func receive(
        _ session: any HostSession,
        _ place: Place,
        _ words: [String],
        _ progress: @escaping @Sendable (_ bytes: Int, _ total: Int) -> Void
    ) async throws(TransportError) -> Fetch.Outcome {
        let (file, folder, part, end) = (place.file, place.folder, place.part, place.end)
        let isDirectory = words.first == "directory"
        let size = words.count == 3 ? Int(words[1]) : nil
        let sink = FileSink(file) { progress($0, size ?? 0) }
        let result = try await session.run(
            isDirectory ? scripts.directory : scripts.file,
            timeoutMilliseconds: timeoutMilliseconds,
            output: sink
        )
        let (bytes, sha256, problem) = await sink.finish()
        if let problem {
            return local("\(directory)/\(part)", problem)
        }
        guard result.status == .exited(0) else {
            return .failed(
                reason: "\(isDirectory ? "tar" : "cat") \(result.status.phrase)",
                hint: isDirectory ? "files in it may be unreadable, or have changed meanwhile" : nil
            )
        }
        guard isDirectory || bytes == size && sha256 == words[2] else {
            return .failed(
                reason: "\(path) changed while it was read: \(bytes) bytes came, not \(words[1])",
                hint: "try again when nothing writes to it"
            )
        }
        let failed = await SpoolQueue.shared.run {
            fsync(file) == 0 && renameat(folder, part, folder, end) == 0 ? nil : errno
        }
        let target = "\(directory)/\(end)"
        return failed.map { local(target, $0) } ?? .fetched(path: target, bytes: bytes)
    }

    private func local(_ path: String, _ reason: Int32) -> Fetch.Outcome {
        .failed(reason: "\(path): \(String(cString: strerror(reason)))", hint: nil)
    }
}
