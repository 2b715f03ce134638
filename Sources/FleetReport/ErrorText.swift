/// Error codes, for people.
public enum ErrorText {
    /// One code: its cause, what it leaves unchanged, and what to do.
    public static func page(of entry: ErrorCode, style: Style) -> String {
        """
        \(style.bold(entry.code))  \(entry.cause)

        \(style.dim("unchanged"))  \(entry.scope.sentence)
        \(style.dim("next     "))  \(entry.next)
        """
    }

    /// Every code with its cause.
    public static func list(style: Style) -> String {
        let rows = ErrorCatalog.entries.map { [$0.code, $0.cause] }
        return Table.lines(header: ["code", "cause"], rows: rows, style: style, indent: "")
            .joined(separator: "\n")
    }

    /// What a code that does not exist may have meant.
    public static func hint(for code: String) -> String {
        let similar = ErrorCatalog.similar(to: code)
        return similar.isEmpty
            ? "`fleet explain` lists all of them"
            : "did you mean \(similar.joined(separator: ", "))?"
    }

    /// The page of the documentation.
    public static var markdown: String {
        let entries = ErrorCatalog.entries.map { entry in
            """
            ## \(entry.code)

            \(entry.cause)

            \(entry.scope.sentence)

            **Next:** \(entry.next)
            """
        }
        return """
            # Error codes

            A message that has a rule or a known cause begins with a code. `fleet explain E_CODE` prints the same as this page.

            \(entries.joined(separator: "\n\n"))

            """
    }
}
