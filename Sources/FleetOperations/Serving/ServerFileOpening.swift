internal import FleetFiles
internal import FleetReport
internal import FleetRollout
public import FleetServing
internal import FleetYAML

/// Reads server files.
public enum ServerFileOpening {
    /// Reads a server file.
    ///
    /// - Parameter path: Where it is.
    /// - Returns: What it says.
    /// - Throws: ``OperationFailure`` with everything that is wrong with it.
    public static func read(_ path: String) throws(OperationFailure) -> ServerFile {
        guard let bytes = WholeFile.read(path, limit: YAMLDocument.sizeLimitBytes) else {
            throw OperationFailure(
                .invalidFiles,
                "the server file \(Sanitizer.line(path)) cannot be read",
                hints: ["name one with --config FILE", "docs/server.md shows one to begin with"]
            )
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw OperationFailure(.invalidFiles, "\(Sanitizer.line(path)) is not UTF-8")
        }
        do { return try ServerFileReader.read(text, file: path) } catch {
            throw OperationFailure(error)
        }
    }
}
