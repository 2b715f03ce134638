package import FleetTransport

/// The host's shell, once its channel is open; confined to its session.
///
/// One object: whoever looks at one thing of it copies nothing else.
package final class ShellChannel<Channel: Sendable> {
    package let channel: Channel
    package var reader: HostShellReader
    /// The process group of the shell; known from READY on.
    package var group: Int?
    /// The run directory's absolute path; known from READY on.
    package var directory = ""
    /// What came before READY, the first bytes of it.
    package var noise: [UInt8] = []
    package var isReady = false
    /// What came on standard error before READY, the first bytes of it.
    package var complaints: [UInt8] = []
    /// Whether its command line is what shall run: it may do that however late it starts.
    package var runsCommandLine = false
    /// Requests not written yet.
    package var unsent: [UInt8] = []
    /// Whether the shell has been told the functions for detached steps.
    package var hasDetachedFunctions = false
    /// The account that ran a script on this channel, where that is neither the login account nor root.
    ///
    /// A process of it may still hold the channel, and write into what the next script says.
    package var lentTo: String?
    /// Whether what arrives now is a script's output.
    package var isInside = false
    /// How much of it has arrived.
    package var outputBytes = 0

    /// How much of a login's noise is kept for a message, in bytes.
    private static var noiseLimitBytes: Int { 400 }

    package init(channel: Channel, reader: HostShellReader, unsent: [UInt8] = []) {
        self.channel = channel
        self.reader = reader
        self.unsent = unsent
    }

    /// Takes what arrived on standard error: nothing of ours, but what a login complains about.
    package func takeComplaint(_ bytes: UnsafeRawBufferPointer) {
        guard !isReady else { return }
        complaints += bytes.prefix(max(0, Self.noiseLimitBytes - complaints.count))
    }

    /// What the login has said instead of running our shell, for people; never our own text.
    package var seen: String {
        let said = Self.text(noise)
        let isEcho = said.contains("fleet_nonce=") || said.contains("fleet_say")
        let own =
            isEcho
            ? "it hands back what it is given, as `cat` does"
            : said.isEmpty ? "" : "it said `\(said)`"
        let errors = Self.text(complaints)
        let parts = [own, errors.isEmpty ? "" : "on standard error: `\(errors)`"].filter {
            !$0.isEmpty
        }
        return parts.isEmpty ? "it said nothing" : parts.joined(separator: "; ")
    }

    private static func text(_ bytes: [UInt8]) -> String {
        let lines = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline)
        return lines.map { line in
            String(
                String.UnicodeScalarView(
                    line.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }
                )
            )
        }.joined(separator: " | ")
    }

    /// Puts a request behind those that are not written yet.
    package func append(_ request: HostShell.Request) {
        if request.needsDetachedFunctions, !hasDetachedFunctions {
            unsent += HostShell.detachedFunctions
            hasDetachedFunctions = true
        }
        unsent += request.line.utf8
    }

    /// Takes what arrived: output goes on, and the line that ends `id` is the answer.
    package func take(
        _ bytes: UnsafeRawBufferPointer,
        of id: String,
        _ output: any OutputSink
    )
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
                    // Behind sudo's question comes what it says to the answer.
                    isInside = words[0] == "BEGIN" || words[0] == "SUDO"
                    if words[0] != "BEGIN" {
                        answer = ShellAnswer(words.map(String.init), outputBytes: outputBytes)
                    }
                    outputBytes = 0
                }
            }
        }
        self.reader = reader
        return answer
    }
}
