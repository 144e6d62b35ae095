import { describe, expect, it } from 'vitest';
import { AdmissionControl } from '../../src/http/admission-control.js';

describe('AdmissionControl', () => {
  const make = (requests: number, bytes: number) => {
    const refused: string[] = [];
    return { permits: new AdmissionControl({ requests, bytes }, (reason) => refused.push(reason)), refused };
  };

  it('refuses requests beyond the limit until a permit is released', () => {
    const { permits, refused } = make(2, 1000);
    const giveBack = permits.take(1);
    permits.take(1);
    expect(() => permits.take(1)).toThrow(expect.objectContaining({ code: 'overloaded', status: 503 }));
    expect(refused).toEqual(['requests']);
    giveBack();
    giveBack();
    permits.take(1);
    expect(() => permits.take(1)).toThrow(/2 requests are already under way/);
  });

  it('refuses bytes beyond the limit, but never a request that runs alone', () => {
    const { permits, refused } = make(10, 100);
    const giveBack = permits.take(500);
    expect(() => permits.take(1)).toThrow(/try again/);
    expect(refused).toEqual(['bytes']);
    giveBack();
    permits.take(60);
    permits.take(40);
    expect(() => permits.take(1)).toThrow();
  });
});
