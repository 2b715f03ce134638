/// Quoting for a POSIX shell.
public enum ShellWord {
    /// A text as one literal shell word.
    ///
    /// Single quotes were byte-exact under bash, dash, zsh, fish, tcsh and rbash when the word
    /// arrived on a shell's standard input (measured).
    public static func quote(_ text: String) -> String {
        // By bytes, as the shell reads: a quote with a combining mark is one Swift character.
        let utf8 = text.utf8
        var quotes = 0
        var isPlain = !utf8.isEmpty
        for byte in utf8 {
            if byte == 0x27 { quotes += 1 }
            isPlain = isPlain && Self.isPlain(byte)
        }
        if isPlain { return text }
        guard quotes > 0 else { return "'\(text)'" }
        return String(unsafeUninitializedCapacity: utf8.count + 3 * quotes + 2) { buffer in
            var end = 0
            func add(_ byte: UInt8) {
                buffer[end] = byte
                end += 1
            }
            add(0x27)
            for byte in utf8 {
                // Out of the quotes, a quote by itself, and back.
                if byte == 0x27 { for part in [0x27, 0x5C, 0x27] as [UInt8] { add(part) } }
                add(byte)
            }
            add(0x27)
            return end
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
