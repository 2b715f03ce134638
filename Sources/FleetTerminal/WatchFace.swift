package import FleetOperations
internal import FleetReport
internal import FleetRollout
internal import FleetRunner

/// Shows a rollout of another process in a view.
package struct WatchFace {
    private let controller: Controller
    private let face: Face

    package init(_ face: Face, _ controller: Controller) {
        self.face = face
        self.controller = controller
    }

    /// Follows it to its end, or until the view is left.
    ///
    /// - Parameters:
    ///   - followed: The rollout.
    ///   - view: The view.
    /// - Returns: Why nothing more is shown.
    /// - Throws: ``OperationFailure`` if the journal cannot be read.
    package func watch(_ followed: FollowedRollout, in view: RolloutView)
        async throws(OperationFailure) -> FollowedRollout.End
    {
        var entries: [JournalEntry] = []
        _ = try await followed.follow(waits: false) { entries += $0 }
        let following = Task<Result<FollowedRollout.End, OperationFailure>, Never> { [entries] in
            do throws(OperationFailure) {
                return .success(
                    try await followed.follow(after: entries.last?.sequence ?? 0) {
                        view.take(.recorded($0))
                    }
                )
            } catch {
                return .failure(error)
            }
        }
        let (controller, initiator) = (controller, face.initiator)
        view.begin(
            followed.plan,
            replaying: entries,
            isNews: true,
            style: face.errorStyle
        ) { wish in
            switch wish {
            case .leave: following.cancel()
            case .pause:
                Task {
                    do throws(OperationFailure) {
                        _ = try await controller.askToStop(
                            followed.id,
                            after: .batch,
                            reason: nil,
                            by: initiator
                        )
                    } catch {
                        view.note("not asked to stop: \(error.message)")
                    }
                }
            }
        }
        let end = await following.value
        view.finish()
        let report = try await controller.records.report(of: followed.id, zone: LocalTimes.zone)
        if case .over = try end.get() {
            view.report(
                report.rollout,
                id: followed.id,
                at: report.milliseconds,
                style: face.outputStyle
            )
        }
        return try end.get()
    }
}
