// What the portal asks. `npm run build` makes the types of answers and variables from schema.graphql.
import { graphql } from '../generated/gql.js';

export const Tenants = graphql(/* GraphQL */ `
  query PortalTenants($after: String) {
    tenants(first: 100, after: $after) {
      totalCount
      nodes { id name domain }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

export const UnusedSeats = graphql(/* GraphQL */ `
  query PortalUnusedSeats($scope: TenantScope) {
    portfolio(scope: $scope, filter: { minAvailableUnits: 1 }) {
      lines {
        skuId
        productName
        unusedUnits
        tenantCount
        subscribedSkus(first: 3) {
          nodes { availableUnits tenant { name } }
        }
      }
      coverage {
        asked
        answered
        stale
        failed { code retryAfterSeconds tenant { name } }
      }
    }
  }
`);

export const Holders = graphql(/* GraphQL */ `
  query PortalHolders($scope: TenantScope, $skuIds: [UUID!], $first: Int!) {
    users(scope: $scope, filter: { licensedFor: $skuIds, status: [ACTIVE] }, first: $first) {
      totalCount
      nodes { id displayName }
      coverage { failed { code tenant { name } } }
    }
  }
`);

export const Move = graphql(/* GraphQL */ `
  mutation PortalMove($input: UpdateLicensesInBulkInput!) {
    updateLicensesInBulk(input: $input) {
      job { id total }
      preview {
        userCount
        effects { change availableUnitsAfter sku { productName } }
        blockers { code message }
      }
      userErrors { code message }
    }
  }
`);

export const Progress = graphql(/* GraphQL */ `
  subscription PortalProgress($id: ID!) {
    jobProgress(id: $id) { state total done failed }
  }
`);

export const Failures = graphql(/* GraphQL */ `
  query PortalFailures($id: ID!) {
    node(id: $id) {
      __typename
      ... on Job {
        state
        results(onlyFailed: true, first: 50) {
          nodes { user { displayName } userErrors { code message } }
        }
      }
    }
  }
`);
