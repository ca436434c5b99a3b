//! What the walk keeps, weighed: everything that is kept by the thousand adds its bytes when it is made and takes them off when it goes.
//!
//! Parts that states share count once, since they are made once. A proof runs on one thread, so a count of the thread's, read as a
//! difference, is the proof's. What the allocator spends on top is not seen.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

thread_local! {
    static HELD: Cell<u64> = const { Cell::new(0) };
}

/// Bytes that were made on this thread and are not gone, since some moment: only differences mean something.
pub(crate) fn held() -> u64 {
    HELD.with(Cell::get)
}

/// Bytes more than [`held`] gave at an earlier moment of this thread; none if there are fewer: what is older may have gone since, such as
/// the states that a run was held against while another proof is followed.
pub(crate) fn since(before: u64) -> u64 {
    u64::try_from(held().wrapping_sub(before).cast_signed()).unwrap_or(0)
}

pub(super) fn add(bytes: usize) {
    HELD.with(|held| held.set(held.get().wrapping_add(bytes as u64)));
}

pub(super) fn sub(bytes: usize) {
    HELD.with(|held| held.set(held.get().wrapping_sub(bytes as u64)));
}

/// A value that is weighed, with the two counters that an [`Arc`] has beside it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Counted<T>(T);

/// A weighed value that several states may hold.
pub(crate) type Shared<T> = Arc<Counted<T>>;

impl<T> Counted<T> {
    const BYTES: usize = size_of::<T>() + 2 * size_of::<usize>();

    pub fn new(value: T) -> Counted<T> {
        add(Self::BYTES);
        Counted(value)
    }

    pub fn shared(value: T) -> Shared<T> {
        Arc::new(Counted::new(value))
    }
}

impl<T: Clone> Clone for Counted<T> {
    fn clone(&self) -> Self {
        Counted::new(self.0.clone())
    }
}

impl<T> Drop for Counted<T> {
    fn drop(&mut self) {
        sub(Self::BYTES);
    }
}

impl<T> Deref for Counted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Counted<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// A row of values of fixed length, weighed.
#[derive(Debug)]
pub(crate) struct Row<T>(Box<[T]>);

impl<T> FromIterator<T> for Row<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let values: Box<[T]> = values.into_iter().collect();
        add(size_of_val(&*values));
        Row(values)
    }
}

impl<T> Default for Row<T> {
    fn default() -> Self {
        Row(Box::default())
    }
}

impl<T> Drop for Row<T> {
    fn drop(&mut self) {
        sub(size_of_val(&*self.0));
    }
}

impl<T> Deref for Row<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Row<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_and_goes_counts_as_nothing() {
        let older = Counted::new([0u8; 64]);
        let before = held();
        let newer = Counted::new(0u64);
        assert_eq!(since(before), Counted::<u64>::BYTES as u64);
        drop(older);
        assert_eq!(since(before), 0);
        drop(newer);
        assert_eq!(since(before), 0);
    }
}
