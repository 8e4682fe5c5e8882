// Package purge owns what was asked to be purged, and what it invalidates: the journal that numbers every purge, and the
// tables that answer whether one of them concerns an object.
//
// A purge holds from the moment Add returns: numbers only rise, and an object carries the number that was in force before
// its origin was asked (its epoch), so a fill in flight cannot bring back what was purged meanwhile.
//
// It imports cache for the types it judges and nothing else of ours.
package purge
