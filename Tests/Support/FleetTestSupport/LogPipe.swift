import Foundation
import Synchronization

/// A pipe with a name that leads a program's log into a file, and tells when something was said.
///
/// What the program says is the event that a test waits for; looking into the file again and again
/// would be late or busy.
public final class LogPipe: Sendable {
    /// The path that the program writes to.
    public let entrance: String
    private let descriptor: Int32
    private let file: FileHandle

    /// Makes the pipe beside the file.
    ///
    /// - Throws: `POSIXError` if there can be none.
    public init(_ path: String) throws {
        entrance = path + ".pipe"
        unlink(entrance)
        guard mkfifo(entrance, 0o600) == 0 else { throw POSIXError(.EIO) }
        // Open for reading before anybody writes: the writer's open then does not wait.
        descriptor = open(entrance, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw POSIXError(.EIO) }
        try Data().write(to: URL(fileURLWithPath: path))
        file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    }

    /// Waits until the program has said some words; false if it ended without them.
    ///
    /// The rest of the log goes on into the file.
    public func waits(for words: String) -> Bool {
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
        let event = DispatchSemaphore(value: 0)
        let wasSaid = Mutex(false)
        Thread { [descriptor, file] in
            var log: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4096)
            while case let count = read(descriptor, &buffer, buffer.count), count > 0 {
                file.write(Data(buffer[..<count]))
                guard !wasSaid.withLock({ $0 }) else { continue }
                log += buffer[..<count]
                guard String(decoding: log, as: UTF8.self).contains(words) else { continue }
                wasSaid.withLock { $0 = true }
                event.signal()
            }
            close(descriptor)
            if !wasSaid.withLock({ $0 }) { event.signal() }
        }.start()
        event.wait()
        return wasSaid.withLock { $0 }
    }
}
