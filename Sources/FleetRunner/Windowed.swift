extension Array where Element: Sendable {
    /// Works on every element, a bounded number at a time.
    ///
    /// - Parameters:
    ///   - width: The most elements that are worked on at once; at least 1.
    ///   - executor: Where an element's work would best run; nil for anywhere.
    ///   - work: What is done.
    /// - Returns: The results, in the order of the elements.
    public func windowed<Result: Sendable>(
        _ width: Int,
        on executor: (Element) -> (any TaskExecutor)? = { _ in nil },
        _ work: @escaping @Sendable (Element) async -> Result
    ) async -> [Result] {
        await withTaskGroup(of: (Int, Result).self) { group in
            var results = [Result?](repeating: nil, count: count)
            var rest = enumerated().makeIterator()
            func start(_ group: inout TaskGroup<(Int, Result)>) {
                guard let (index, element) = rest.next() else { return }
                group.addTask(executorPreference: executor(element)) {
                    (index, await work(element))
                }
            }
            for _ in 0..<Swift.min(Swift.max(1, width), count) { start(&group) }
            while let (index, result) = await group.next() {
                results[index] = result
                start(&group)
            }
            return results.compactMap { $0 }
        }
    }
}
