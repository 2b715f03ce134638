internal import FleetTransport

/// The host's shell, once its channel is open.
struct ShellChannel {
    let channel: Channel
    var reader: HostShellReader
    /// The process group of the shell; known from READY on.
    var group: Int?
    /// The run directory's absolute path; known from READY on.
    var directory = ""
    /// What came before READY, the first bytes of it.
    var noise: [UInt8] = []
    var isReady = false
    /// Requests not written yet.
    var unsent: [UInt8] = []
    /// Whether the shell has been told the functions for detached steps.
    var hasDetachedFunctions = false
    /// Whether what arrives now is a script's output.
    var isInside = false
    /// How much of it has arrived.
    var outputBytes = 0

    /// How much of a login's noise is kept for a message, in bytes.
    private static let noiseLimitBytes = 400

    /// Puts a request behind those that are not written yet.
    mutating func append(_ request: HostShell.Request) {
        if request.needsDetachedFunctions, !hasDetachedFunctions {
            unsent += HostShell.detachedFunctions
            hasDetachedFunctions = true
        }
        unsent += request.line.utf8
    }

    /// Takes what arrived: output goes on, and the line that ends `id` is the answer.
    mutating func take(_ bytes: UnsafeRawBufferPointer, of id: String, _ output: any OutputSink)
        -> ShellAnswer?
    {
        var answer: ShellAnswer?
        var reader = reader
        reader.read(bytes) { piece in
            switch piece {
            case .bytes(let bytes) where isInside:
                outputBytes += bytes.count
                output.write(bytes)
            case .bytes(let bytes):
                if !isReady { noise += bytes.prefix(max(0, Self.noiseLimitBytes - noise.count)) }
            case .line(let words):
                guard words.count > 1 else { return }
                if words[0] == "READY" {
                    isReady = true
                    group = Int(words[1])
                    // The run directory, which may hold spaces.
                    directory = words.count > 2 ? String(words[2].base[words[2].startIndex...]) : ""
                } else if words[1] == id {
                    isInside = words[0] == "BEGIN"
                    if !isInside {
                        answer = ShellAnswer(
                            words: words.map(String.init),
                            outputBytes: outputBytes
                        )
                    }
                    outputBytes = 0
                }
            }
        }
        self.reader = reader
        return answer
    }
}

/// How a request to the host's shell ended.
struct ShellAnswer: Sendable {
    /// The words of the line that ended it, as in `END key status size` or `NEVER key`.
    let words: [String]
    /// How many bytes of output came with it.
    let outputBytes: Int
}
