// The way to the gateway: urql for questions and changes, graphql-sse for what goes on.
import { type AnyVariables, Client, type DocumentInput, fetchExchange, subscriptionExchange } from '@urql/core';
import { createClient } from 'graphql-sse';

export class Gateway {
  private readonly client: Client;

  constructor(url: string, token?: string) {
    const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {};
    const events = createClient({ url, headers });
    this.client = new Client({
      url,
      fetchOptions: { headers },
      preferGetMethod: false,
      // No cache here: the gateway keeps one, and says in `asOf` and `coverage` how old its data is.
      requestPolicy: 'network-only',
      exchanges: [
        fetchExchange,
        subscriptionExchange({
          forwardSubscription: ({ query, variables }) => ({
            subscribe: (sink) => ({
              unsubscribe: events.subscribe(
                { query: query ?? '', variables: variables ?? {} },
                { ...sink, next: (result) => sink.next({ data: result.data, errors: result.errors as never }) },
              ),
            }),
          }),
        }),
      ],
    });
  }

  /** A question; an error of the answer is thrown with its code. */
  async ask<Data, Variables extends AnyVariables>(document: DocumentInput<Data, Variables>, variables: Variables) {
    return given(await this.client.query(document, variables).toPromise());
  }

  /** A change. What stands in its way is in `userErrors` of the answer. */
  async change<Data, Variables extends AnyVariables>(document: DocumentInput<Data, Variables>, variables: Variables) {
    return given(await this.client.mutation(document, variables).toPromise());
  }

  /** Calls `seen` with each state until `isLast` says so. */
  follow<Data, Variables extends AnyVariables>(
    document: DocumentInput<Data, Variables>,
    variables: Variables,
    seen: (data: Data) => void,
    isLast: (data: Data) => boolean,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const { unsubscribe } = this.client.subscription(document, variables).subscribe((result) => {
        if (result.error || !result.data) return reject(result.error ?? new Error('an event without data'));
        seen(result.data);
        if (isLast(result.data)) {
          queueMicrotask(() => unsubscribe());
          resolve();
        }
      });
    });
  }
}

function given<Data>(result: { data?: Data; error?: { graphQLErrors: readonly { extensions: object }[] } & Error }): Data {
  if (result.error) {
    const codes = result.error.graphQLErrors.map((error) => (error.extensions as { code?: string }).code);
    throw new Error(`${codes.join(', ')} ${result.error.message}`.trim());
  }
  if (!result.data) throw new Error('an answer without data');
  return result.data;
}
