package import FleetOperations
package import FleetReport

/// What every command shares that shows something: how text is marked, and for whom it is.
package struct Face: Sendable {
    /// How text on standard output is marked.
    package let outputStyle: Style
    /// How text on standard error is marked.
    package let errorStyle: Style
    /// Whether only results are wanted.
    package let isQuiet: Bool
    /// Whether a program reads standard output.
    package let printsJSON: Bool
    /// Who uses it.
    package let initiator: Initiator

    package init(
        outputStyle: Style,
        errorStyle: Style,
        isQuiet: Bool,
        printsJSON: Bool,
        initiator: Initiator
    ) {
        self.outputStyle = outputStyle
        self.errorStyle = errorStyle
        self.isQuiet = isQuiet
        self.printsJSON = printsJSON
        self.initiator = initiator
    }

    /// Says what is being done, where people look for that.
    package func tell(_ text: String) {
        if !isQuiet { Terminal.standardError.write(text + "\n") }
    }

    /// Says what went wrong beside what was asked for.
    package func warn(_ text: String) {
        Terminal.standardError.write("fleet: warning: \(Sanitizer.line(text))\n")
    }

    /// Prints a result.
    package func print(_ text: String) { Terminal.standardOutput.write(text + "\n") }

    /// Prints values, a line of JSON each.
    package func printJSON(_ lines: [some Encodable]) {
        for line in lines { Terminal.standardOutput.write(JSONLine.bytes(of: line)) }
    }

    /// Says what happens, where people look for that.
    package var say: @Sendable (Happening) -> Void {
        let (isQuiet, style) = (isQuiet, errorStyle)
        return { happening in
            guard !isQuiet else { return }
            switch happening {
            case .progress(let text):
                guard Terminal.standardError.isInteractive else { return }
                Terminal.standardError.write(style.dim(Sanitizer.safe(text)) + "\n")
            case .note(let text): Terminal.standardError.write(Sanitizer.safe(text) + "\n")
            case .waiting(let text):
                Terminal.standardError.write("fleet: \(Sanitizer.safe(text))\n")
            case .warning(let text, let next):
                Terminal.standardError.write(
                    style.yellow("warning:") + " \(Sanitizer.safe(text))\n"
                        + (next.map { "  next: \($0)\n" } ?? "")
                )
            }
        }
    }
}
