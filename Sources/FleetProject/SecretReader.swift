public import FleetTransport
internal import Glibc
internal import Subprocess
internal import SystemPackage

/// Finds secrets where an inventory says they are.
public struct SecretReader: Sendable {
    /// Why a secret cannot be had, for people.
    public struct Unavailable: Error, Sendable, Hashable {
        /// What is wrong and what to do about it.
        public let reason: String
    }

    /// The directory that relative paths start from.
    private let root: String

    /// The longest secret, in bytes.
    public static let limitBytes = 4_096

    /// Reads secrets for a project.
    public init(root: String) { self.root = root }

    /// The first line of what a source holds.
    ///
    /// - Throws: ``Unavailable``; a `prompt` is not ours to answer.
    public func read(_ source: SecretSource) async throws(Unavailable) -> String {
        switch source {
        case .environment(let name):
            guard let value = getenv(name) else {
                throw Unavailable(reason: "the environment variable \(name) is not set")
            }
            return String(cString: value)
        case .file(let path): return try file(path)
        case .command(let words): return try await output(of: words)
        case .prompt(let what):
            throw Unavailable(reason: "nobody is there to be asked for \(what)")
        }
    }

    private func file(_ path: String) throws(Unavailable) -> String {
        let place = path.hasPrefix("/") ? path : "\(root)/\(path)"
        let file = open(place, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            throw Unavailable(reason: "\(path): \(String(cString: strerror(errno)))")
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & 0o077 == 0 else {
            throw Unavailable(
                reason: "\(path) holds a secret and others may read it (chmod 600 \(path))"
            )
        }
        // Of a pipe each read gives a piece.
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: Self.limitBytes + 1)
        while bytes.count <= Self.limitBytes, !bytes.contains(0x0A) {
            let count = Glibc.read(file, &piece, piece.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw Unavailable(reason: "\(path): \(String(cString: strerror(errno)))")
            }
            guard count > 0 else { break }
            bytes += piece[..<count]
        }
        return try Self.firstLine(bytes[...], of: path)
    }

    private func output(of words: [String]) async throws(Unavailable) -> String {
        guard let program = words.first else {
            throw Unavailable(reason: "a secret's `command` is empty")
        }
        do {
            let result = try await run(
                program.contains("/") ? .path(.init(program)) : .name(program),
                arguments: .init(Array(words.dropFirst())),
                workingDirectory: .init(root),
                input: .none,
                output: .bytes(limit: Self.limitBytes + 1),
                error: .discarded
            )
            guard result.terminationStatus.isSuccess else {
                throw Unavailable(reason: "`\(program)` failed: \(result.terminationStatus)")
            }
            return try Self.firstLine(result.standardOutput[...], of: "`\(program)`")
        } catch let error as Unavailable {
            throw error
        } catch {
            throw Unavailable(reason: "`\(program)` cannot be run: \(error)")
        }
    }

    private static func firstLine(_ bytes: ArraySlice<UInt8>, of place: String)
        throws(Unavailable) -> String
    {
        let line = bytes.prefix { $0 != 0x0A && $0 != 0x0D }
        guard !line.isEmpty else { throw Unavailable(reason: "\(place) holds no secret") }
        guard line.count <= limitBytes else {
            throw Unavailable(reason: "\(place) holds a line of more than \(limitBytes) bytes")
        }
        return String(decoding: line, as: UTF8.self)
    }
}
