/// Quoting for a POSIX shell.
public enum ShellWord {
    /// A text as one literal shell word.
    ///
    /// Single quotes were byte-exact under bash, dash, zsh, fish, tcsh and rbash when the word
    /// arrived on a shell's standard input (measured).
    public static func quote(_ text: String) -> String {
        // By bytes, as the shell reads: a quote with a combining mark is one Swift character.
        if !text.isEmpty, text.utf8.allSatisfy(isPlain) { return text }
        var text = text
        return text.withUTF8 { bytes in
            let quotes = bytes.reduce(0) { $1 == 0x27 ? $0 + 1 : $0 }
            // Scripts of many thousand bytes are quoted for every host: copied by the piece, not by the byte.
            return String(unsafeUninitializedCapacity: bytes.count + 3 * quotes + 2) { buffer in
                var end = 0
                func add(_ piece: UnsafeBufferPointer<UInt8>.SubSequence) {
                    end = buffer[end...].update(fromContentsOf: piece)
                }
                func add(_ literal: StaticString) {
                    add(literal.withUTF8Buffer { $0[...] })
                }
                add("'")
                var rest = bytes[...]
                while let quote = rest.firstIndex(of: 0x27) {
                    add(rest[..<quote])
                    // Out of the quotes, a quote by itself, and back.
                    add("'\\''")
                    rest = rest[(quote + 1)...]
                }
                add(rest)
                add("'")
                return end
            }
        }
    }

    /// A path as one shell word; a leading `~/` means the login directory.
    public static func path(_ text: String) -> String {
        if text == "~" { return "\"$HOME\"" }
        if text.hasPrefix("~/") { return "\"$HOME\"/" + quote(String(text.dropFirst(2))) }
        return quote(text)
    }

    /// Whether a text may name an environment variable (POSIX, XBD 8.1, and lower case).
    public static func isVariableName(_ text: String) -> Bool {
        guard let first = text.utf8.first, first == 0x5F || isLetter(first) else { return false }
        return text.utf8.allSatisfy { $0 == 0x5F || isLetter($0) || (0x30...0x39).contains($0) }
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        isLetter(byte) || (0x30...0x39).contains(byte) || "_-./:=@%+,".utf8.contains(byte)
    }
}
