/// Text of the files in `Shell/`, as it is sent to hosts: without its comments, which are for those who read the files.
public enum ShellText {
    private static let newline = UInt8(ascii: "\n")

    /// Files behind each other.
    public static func bytes(_ files: [UInt8]...) -> [UInt8] {
        files.flatMap { file in
            file.split(separator: newline).filter { !isComment($0) }.flatMap { $0 + [newline] }
        }
    }

    /// One file as a text.
    public static func text(_ file: [UInt8]) -> String {
        String(decoding: bytes(file), as: UTF8.self)
    }

    private static func isComment(_ line: ArraySlice<UInt8>) -> Bool {
        line.first { $0 != UInt8(ascii: " ") } == UInt8(ascii: "#")
    }
}
