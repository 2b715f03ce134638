internal import FleetJournal
internal import FleetPlan
internal import FleetProject
public import FleetReport
internal import FleetRollout

extension Records {
    /// Lists the newest tagged releases of a clone, and the environments where each is live or was reverted.
    ///
    /// - Parameters:
    ///   - directory: A directory in the clone.
    ///   - limit: The largest number of releases to return.
    /// - Returns: The releases, the highest version first.
    /// - Throws: ``OperationFailure`` if there is no clone, or the journal cannot be read.
    public func releases(in directory: String, limit: Int) async throws(OperationFailure)
        -> [ReleaseLine]
    {
        let tags = try await tags(in: directory, limit: limit)
        do throws(JournalError) {
            let environments = try await journal.environments()
            var live: [(environment: String, commit: String)] = []
            for environment in environments {
                guard let found = try await journal.live(in: environment) else { continue }
                live.append((environment, found.release.commit))
            }
            var lines: [ReleaseLine] = []
            for tag in tags {
                let here = live.filter { $0.commit == tag.commit }.map(\.environment)
                var back: [String] = []
                var before: [String] = []
                for environment in environments {
                    if try await journal.reverted(tag.commit, in: environment) != nil {
                        back.append(environment)
                    } else if !here.contains(environment),
                        try await journal.succeeded(tag.commit, in: environment) != nil
                    {
                        before.append(environment)
                    }
                }
                lines.append(
                    ReleaseLine(
                        release: tag.name,
                        commit: tag.commit,
                        live: here,
                        quarantined: back,
                        superseded: before,
                        date: tag.date
                    )
                )
            }
            return lines
        } catch {
            throw OperationFailure(error)
        }
    }

    /// The newest versions that are tagged in a clone.
    private func tags(in directory: String, limit: Int) async throws(OperationFailure)
        -> [(name: String, commit: String, date: String)]
    {
        do throws(GitRepository.Failure) {
            let repository = try await GitRepository(containing: directory)
            // Of an annotated tag the commit is what it points at.
            let format = "%(refname:strip=2) %(objectname) %(*objectname) %(creatordate:short)"
            let listed = try await repository.git("for-each-ref", "--format=\(format)", "refs/tags")
            let tags = listed.split(whereSeparator: \.isNewline).compactMap { line in
                let words = line.split(separator: " ", omittingEmptySubsequences: false)
                return words.count == 4
                    ? SemanticVersion(String(words[0])).map { (version: $0, words: words) } : nil
            }
            return tags.sorted { $0.version > $1.version }.prefix(limit).map { _, words in
                (
                    String(words[0]), String(words[2].isEmpty ? words[1] : words[2]),
                    String(words[3])
                )
            }
        } catch {
            throw OperationFailure(
                .refused,
                "`\(error.command)`: \(Sanitizer.safe(error.message))",
                hints: ["run it in a clone of the application's repository"]
            )
        }
    }
}
