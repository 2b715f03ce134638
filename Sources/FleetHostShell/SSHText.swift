/// Text from the other side, made fit to be shown.
package enum SSHText {
    /// One line of printable characters.
    package static func oneLine(_ bytes: some Sequence<UInt8>, limit: Int = 400) -> String {
        let scalars = String(decoding: Array(bytes), as: UTF8.self).unicodeScalars
        var text = String.UnicodeScalarView()
        var wasSpace = true
        for scalar in scalars {
            let isSpace = scalar.value <= 0x20 || scalar.value == 0x7F
            // Controls of the second table and marks that turn the writing direction.
            let isHidden =
                (0x80...0x9F).contains(scalar.value) || (0x200B...0x200F).contains(scalar.value)
                || (0x202A...0x202E).contains(scalar.value)
                || (0x2066...0x2069).contains(scalar.value)
            if isHidden || isSpace && wasSpace { continue }
            text.append(isSpace ? " " : scalar)
            wasSpace = isSpace
            guard text.count < limit else { break }
        }
        if text.last == " " { text.removeLast() }
        return String(text)
    }
}
